"""Which law a process reads: the day, and the folder of a user's laws.

One call, :func:`use_law`, says it at the start of a run or a command. Processes that are started later read it from
two environment variables, which only pass it on: they are not a second place to set it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

from curricula.errors import DataError

_DAY, _FOLDER = "THEMIS_LAW_DATE", "THEMIS_LAW_FOLDER"


@dataclass(frozen=True)
class Setting:
    """The law that is read."""

    as_of: date
    folder: Path | None = None
    """Folder of laws that win over the package's."""

    def environment(self) -> dict[str, str]:
        """Environment variables for a process that is to read the same law."""
        return {_DAY: self.as_of.isoformat(), _FOLDER: "" if self.folder is None else str(self.folder)}


def use_law(as_of: date | str | None = None, folder: Path | str | None = None) -> Setting:
    """Read the law of a day (today, unless one is given) in this process and in those that it starts.

    Raises:
        DataError: if the day is not a date.
    """
    chosen = Setting(_day(as_of), Path(folder).expanduser().resolve() if folder else None)
    os.environ.update(chosen.environment())
    return chosen


def law_setting() -> Setting:
    """The law that this process reads. If it was not set, it is set to today's."""
    day, folder = os.environ.get(_DAY), os.environ.get(_FOLDER)
    return _read(day, folder) if day is not None else use_law(folder=folder or None)


@lru_cache(maxsize=4)  # asked for with every citation
def _read(day: str, folder: str | None) -> Setting:
    return Setting(_day(day), Path(folder) if folder else None)


@contextmanager
def reading(as_of: date) -> Iterator[None]:
    """Read the law of a day, without a user's folder, within a ``with`` block."""
    before = law_setting()
    use_law(as_of)
    try:
        yield
    finally:
        use_law(before.as_of, before.folder)


def _day(written: date | str | None) -> date:
    if written is None:
        return date.today()
    try:
        return written if isinstance(written, date) else date.fromisoformat(written)
    except ValueError:
        raise DataError(f"{written!r} is not a day; write it as 2024-03-01") from None
