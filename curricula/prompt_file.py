"""A JSONL file of prompts that is not in memory: every row is checked once, and read again when it is asked for."""

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from curricula.errors import DataError
from curricula.meta import is_share, pass_rate
from curricula.prompts import Prompt
from curricula.records import Needed, prompt_of
from curricula.rows import Count, line_record, opened, require_utf8, without_null

SPAN = 1 << 23
"""Bytes of a file that are checked in one go."""


class Span(NamedTuple):
    """Whole lines of a file."""

    begin: int
    end: int
    """Offsets (bytes) of its first line, and of what comes after its last."""
    number: int
    """Of its first line, from 1."""


class Index(NamedTuple):
    """Where the rows of a file are. Arrays of one value a row, in the order of the file, except ``bad_rates``."""

    starts: np.ndarray
    """int64, offset of a row's line (bytes)."""
    sizes: np.ndarray
    """int64, bytes of the line."""
    numbers: np.ndarray
    """int64, number of the line, from 1."""
    checks: np.ndarray
    """uint32, CRC-32 of the line."""
    bad_rates: np.ndarray
    """int64, the rows whose recorded pass rate is none."""


class PromptFile(Sequence[Prompt]):
    """The prompts of a file, in its order. A row is read and checked when it is asked for, and not kept."""

    def __init__(self, path: Path, needed: Needed, fingerprint: str, lines: Index) -> None:
        """``fingerprint`` is the SHA-256 of the file that ``lines`` was made of. Raises DataError."""
        self.path, self.needed, self.fingerprint, self.lines = path, needed, fingerprint, lines
        self._file = opened(path)  # stays the same file if another takes its place

    def __len__(self) -> int:
        return len(self.lines.starts)

    @overload
    def __getitem__(self, row: int) -> Prompt: ...

    @overload
    def __getitem__(self, row: slice) -> list[Prompt]: ...

    def __getitem__(self, row: int | slice) -> Prompt | list[Prompt]:
        """A row.

        Raises:
            DataError: if its line has been changed since it was indexed.
        """
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        start, size, number = (int(of[row]) for of in self.lines[:3])
        line = os.pread(self._file.fileno(), size, start)
        where = f"{self.path}:{number}"
        if zlib.crc32(line) != self.lines.checks[row]:
            raise DataError(
                f"{where}: the line has been changed since the file was read at the start; keep files that are in use "
                f"as they are, and start the same command again"
            )
        # These very bytes have been parsed strictly before.
        return prompt_of(without_null(json.loads(line)), where, self.path.stem, self.needed)


def spans(path: Path) -> Iterator[Span]:
    """The parts of a file, of about ``SPAN`` bytes each. Raises DataError."""
    require_utf8(path)
    begin, number = 0, 1
    with opened(path) as file:
        while block := file.read(SPAN):
            rest = file.readline()
            yield Span(begin, begin + len(block) + len(rest), number)
            begin, number = begin + len(block) + len(rest), number + block.count(b"\n") + rest.count(b"\n")


class Scanned(NamedTuple):
    """What is found in a part of a file."""

    lines: Index
    """Of its good rows; ``bad_rates`` counts from the first of them."""
    tally: Count
    seen: Any
    """What was asked about the prompts of these rows."""


def scan(path: Path, needed: Needed, look: Callable[[list[Prompt]], Any] | None, span: Span) -> Scanned:
    """Check the rows of a part of a file, and ``look`` at the prompts of its good ones while they are there."""
    found: list[tuple[int, int, int, int]] = []
    prompts: list[Prompt] = []
    bad_rates: list[int] = []
    count, task = Count(), path.stem
    start, number = span.begin, span.number
    with opened(path) as file:
        file.seek(start)
        while start < span.end:
            line = file.readline()
            if line.strip():
                where = f"{path}:{number}"
                try:
                    prompt = prompt_of(line_record(line, where), where, task, needed)
                except DataError as error:
                    count.add_bad(error)
                else:
                    if not is_share(pass_rate(prompt.meta)):
                        bad_rates.append(count.good)
                    count.good += 1
                    if look is not None:
                        prompts.append(prompt)
                    found.append((start, len(line), number, zlib.crc32(line)))
            start, number = start + len(line), number + 1
    starts, sizes, numbers, checks = np.asarray(found, dtype=np.int64).reshape(-1, 4).T
    lines = Index(starts, sizes, numbers, checks.astype(np.uint32), np.asarray(bad_rates, dtype=np.int64))
    return Scanned(lines, count, None if look is None else look(prompts))


def joined(path: Path, parts: Sequence[Scanned]) -> Index:
    """The index of a file from those of its parts, in their order.

    Raises:
        DataError: as :func:`curricula.rows.each_record`, if a row is bad or there is none.
    """
    sum((part.tally for part in parts), Count()).check(path)
    indices = [part.lines for part in parts]
    before = np.cumsum([0, *(len(index.starts) for index in indices)])
    shifted = [index._replace(bad_rates=index.bad_rates + n) for index, n in zip(indices, before, strict=False)]
    return Index(*map(np.concatenate, zip(*shifted, strict=True)))
