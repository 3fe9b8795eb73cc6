"""Questions that say the same in other words, by the vectors of a sentence-transformers model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rl.config.meaning_steps import SameMeaningStep
from rl.retrieval.dense import Encoder
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.selection import asked
from rl.synthesis.step import Context

AT_ONCE = 256
"""Texts that are embedded together."""
TABLES, BITS = 32, 10
"""Tables of random planes, and planes of each. A pair with cosine 0.85 shares a cell in 0.99 of cases, one with 0.7 in
0.83 (Charikar 2002: planes part two vectors with the chance angle/π)."""
DEPTH = 200
"""Newest vectors of a cell that are compared: at most TABLES * DEPTH comparisons a record, whatever they are."""

Vectors = np.ndarray[Any, np.dtype[np.float32]]


class Nearest:
    """Vectors so far, to find the one most like a new one. A vector takes 2 bytes of memory for each of its numbers,
    and about 1.5 kB for its cells."""

    def __init__(self, width: int) -> None:
        rng = np.random.default_rng(0)
        self._planes = rng.standard_normal((width, TABLES * BITS), np.float32)
        self._cells: list[dict[int, list[int]]] = [{} for _ in range(TABLES)]
        self._vectors = np.empty((1024, width), np.float16)
        self._count = 0

    def add(self, vector: Vectors) -> None:
        """Remember a vector under the next number, from 0."""
        if self._count == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
        self._vectors[self._count] = vector
        for table, cell in zip(self._cells, self._of(vector), strict=True):
            inside = table.setdefault(cell, [])
            inside.append(self._count)
            del inside[:-DEPTH]
        self._count += 1

    def most_alike(self, vector: Vectors) -> tuple[int, float]:
        """(number, cosine) of the most similar vector; (-1, -1) without any. Of equals the first."""
        cells = zip(self._cells, self._of(vector), strict=True)
        near = sorted(set(itertools.chain.from_iterable(table.get(cell, ()) for table, cell in cells)))
        if not near:
            return -1, -1.0
        alike = self._vectors[near].astype(np.float32) @ vector
        best = int(np.argmax(alike))
        return near[best], float(alike[best])

    def _of(self, vector: Vectors) -> list[int]:
        above = (vector @ self._planes > 0).reshape(TABLES, BITS)
        cells: list[int] = (above @ (1 << np.arange(BITS))).tolist()
        return cells


class SameMeaning:
    """Drops a record that says the same as an earlier one; records come in the order of their ids."""

    name = "same_meaning"
    in_order = True

    def __init__(self, options: SameMeaningStep, context: Context) -> None:
        """
        Raises:
            UserError: if the folder of the model can't be used.
        """
        self.similarity = options.similarity
        self.encoder = Encoder(Path(options.model))
        self.reasons: dict[str, tuple[str, str]] = {}

    def look(self, records: Iterable[Record]) -> None:
        """Decide about all records."""
        kept: list[str] = []
        seen: Nearest | None = None
        for name, vector in self._embedded(records):
            seen = seen or Nearest(len(vector))
            place, cosine = seen.most_alike(vector)
            if cosine >= self.similarity:
                self.reasons[name] = "same meaning", f"cosine {cosine:.3f}, kept is {kept[place]}"
            else:
                seen.add(vector)
                kept.append(name)

    def run(self, record: Record) -> Fields:
        if record.id in self.reasons:
            raise Dropped(*self.reasons[record.id])
        return {}

    def _embedded(self, records: Iterable[Record]) -> Iterator[tuple[str, Vectors]]:
        left = iter(records)
        while some := list(itertools.islice(left, AT_ONCE)):
            yield from zip((one.id for one in some), self.encoder.documents([asked(one) for one in some]), strict=True)
