"""Errors that a user can mend."""


class UserError(Exception):
    """Bad input or environment. The message says what is wrong, where and how to mend it; no traceback is shown."""
