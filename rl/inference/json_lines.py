"""Files of JSON lines: read line by line, appended to in batches, written in one move."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rl.errors import UserError
from rl.files import in_one_move
from rl.language import Text


def read_lines(path: Path, notice: Callable[[str], None]) -> list[dict[str, Any]]:
    """The records of a file of JSON lines. Raises as :func:`placed_lines`."""
    return [record for _, record in placed_lines(path, notice)]


def placed_lines(path: Path, notice: Callable[[str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(first byte, record) of each line of a file of JSON lines. A half-written last line is cut off, with a notice.

    Raises:
        UserError: naming file and line, if another line is damaged.
    """
    if not path.is_file():
        return
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                said = Text("{path}: the last line was half written and is dropped ({n} bytes)", path=path, n=len(line))
                notice(said)
                os.truncate(path, end)
                return
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError(f"found {type(record).__name__}")
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{path}, line {number} is no JSON object ({error}); remove the line, and its content is made again"
                ) from None
            yield end, record
            end += len(line)


class JsonLines:
    """A file to which JSON lines are appended in batches; each batch is synced to the disk."""

    def __init__(self, path: Path, batch: int, at_once: bool = False) -> None:
        """``at_once`` writes each line as it comes, which the end of the process does not undo, and syncs by batches,
        so that the end of the machine undoes one batch."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.batch, self.at_once = path, batch, at_once
        self._pending: list[bytes] = []

    def append(self, record: dict[str, Any]) -> int:
        """Add a record; it is on the disk when its batch is full, or after :meth:`flush`. Returns its first byte."""
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        if self.at_once:
            with self.path.open("ab") as file:
                place = file.tell()
                file.write(line)
        else:
            written = self.path.stat().st_size if self.path.is_file() else 0
            place = written + sum(map(len, self._pending))
        self._pending.append(line)
        if len(self._pending) >= self.batch:
            self.flush()
        return place

    def flush(self) -> None:
        """Write the pending records."""
        if not self._pending:
            return
        with self.path.open("ab") as file:
            if not self.at_once:
                file.writelines(self._pending)
            file.flush()
            os.fsync(file.fileno())
        self._pending.clear()

    def close(self) -> None:
        """Write the pending records; for ``contextlib.closing``."""
        self.flush()


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Write a whole file of JSON lines in one move; returns their number."""
    return write_texts(path, (json.dumps(record, ensure_ascii=False) for record in records))


def write_texts(path: Path, lines: Iterable[str]) -> int:
    """Write a whole file of lines in one move; returns their number."""
    number = 0
    with in_one_move(path) as partial, partial.open("w", encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(lines, 1):  # noqa: B007  counts
            file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    return number
