"""Errors of the curriculum library."""


class DataError(ValueError):
    """A data file or a task cannot give what is asked of it. The message names the place and the mend."""
