"""Errors of the curriculum library."""

from collections.abc import Sequence


class DataError(ValueError):
    """A data file or a task can't provide what is needed. The message names the place and the fix."""


def together(first: Sequence[str], bad: int, total: int, what: str) -> str:
    """One message for ``bad`` problems among ``total``, of which the ``first`` are quoted; ``what`` says what is wrong,
    such as ``records are bad``."""
    head = f"{bad} of {total} {what}, the first {len(first)}:\n  " if bad > 1 else ""
    return head + "\n  ".join(first)
