"""Values that are in a temporary file: 8 bytes each in memory."""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Spooled(Sequence[T], Generic[T]):
    """A sequence that is read from the disk, one value when it is asked for; in forked processes too. The file is gone
    with the process."""

    def __init__(self, values: Iterable[T], write: Callable[[T], Any], read: Callable[[Any], T]) -> None:
        """
        Args:
            values: what is put into the file, one after the other.
            write: a value as JSON values.
            read: the value again.
        """
        self._read, self._ends = read, array("q", [0])
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the sequence
        end = 0
        for value in values:
            line = json.dumps(write(value), ensure_ascii=False).encode("utf-8", "surrogatepass")
            self._file.write(line)
            end += len(line)
            self._ends.append(end)
        self._file.flush()

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> list[T]: ...

    def __getitem__(self, place: int | slice) -> T | list[T]:
        chosen = range(len(self))[place]
        if isinstance(chosen, range):
            return [self[one] for one in chosen]
        begin, end = self._ends[chosen], self._ends[chosen + 1]
        line = os.pread(self._file.fileno(), end - begin, begin)
        return self._read(json.loads(line.decode("utf-8", "surrogatepass")))
