"""Errors that a user can fix."""

from cluster.errors import ClusterError
from curricula.errors import DataError


class UserError(Exception):
    """Bad input or environment. The message says what is wrong, where, and how to fix it; no traceback is shown."""


USER_ERRORS = (UserError, DataError, ClusterError)
"""What a user can fix, from every part of the system: a command prints it as a sentence and exits with 2."""
