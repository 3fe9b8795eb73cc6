"""Questions that say the same in other words, by vectors: a model's, or without one those of their characters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
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
WIDTH = 512
"""Length of a vector of characters."""
TABLES, BITS = 32, 10
"""Tables of random planes, and planes of each. A pair with cosine 0.85 shares a cell in 0.99 of cases, one with 0.7 in
0.83 (Charikar 2002: planes part two vectors with the chance angle/π)."""
DEPTH = 200
"""Newest vectors of a cell that are compared, so that time grows linearly however many texts are alike."""

Vectors = np.ndarray[Any, np.dtype[np.float32]]
Embed = Callable[[Sequence[str]], Vectors]
"""texts -> their vectors, shape (texts, width), each of length 1."""


class Characters:
    """Vectors of the pairs of characters of a text, those that many texts have counting less (TF-IDF), hashed.

    It sees the same words in another order, with others between them. It does not know that two words mean the same.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """``texts`` say how many have each pair."""
        self.known = np.zeros(2**18, np.int64)
        self.count = 0
        for text in texts:
            self.known[np.unique(_pairs(text) % len(self.known))] += 1
            self.count += 1

    def __call__(self, texts: Sequence[str]) -> Vectors:
        found = np.zeros((len(texts), WIDTH), np.float32)
        for row, text in enumerate(texts):
            pairs, times = np.unique(_pairs(text), return_counts=True)
            rarity = np.log((1 + self.count) / (1 + self.known[pairs % len(self.known)])) + 1
            sign = np.where(pairs >> np.uint64(63), 1.0, -1.0)
            np.add.at(found[row], (pairs >> np.uint64(20)) % WIDTH, sign * (1 + np.log(times)) * rarity)
        return _unit(found)


def _pairs(text: str) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Hashes of the pairs of neighbouring letters and digits, and of the single ones."""
    codes = np.array([ord(one) for one in text if one.isalnum()], np.uint64)
    mixed = np.concatenate([codes, codes[:-1] * np.uint64(0x110000) + codes[1:]]) if len(codes) else codes
    mixed = (mixed + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


class Nearest:
    """Vectors so far, to find the one most like a new one. Takes 2 bytes of memory for each number of a vector, and 300
    for its cells."""

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
        self.encoder = Encoder(Path(options.model)) if options.model else None
        self.reasons: dict[str, tuple[str, str]] = {}

    def look(self, records: Sequence[Record]) -> None:
        """Decide about all records."""
        embed: Embed = self.encoder.documents if self.encoder else Characters(map(asked, records))
        kept: list[str] = []
        seen: Nearest | None = None
        for name, vector in _embedded(records, embed):
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


def _embedded(records: Sequence[Record], embed: Embed) -> Iterator[tuple[str, Vectors]]:
    for start in range(0, len(records), AT_ONCE):
        some = records[start : start + AT_ONCE]
        yield from zip((one.id for one in some), embed([asked(one) for one in some]), strict=True)
