"""Test questions in training data: the records that hold or resemble them, one record at a time.

A question is in a record that holds at least a share of its n-grams of characters (without punctuation and white space;
n is 13 by default, after Brown et al. 2020), or whose prompt or document is similar to it (Jaccard, by MinHash). The
beginning and the end that all questions of a task share do not count, and questions of less than ``SHORTEST``
characters are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curricula.cleaning import PERMUTATIONS, banding, jaccard, shingles
from curricula.errors import DataError
from curricula.records import corpus_files, read_demonstrations, read_prompts, read_texts

SHORTEST = 8
"""A question with fewer characters is too common to be searched."""
NGRAM, SHARE, SIMILARITY = 13, 0.5, 0.8
"""Characters of an n-gram, and from which share and similarity on a question is a hit."""


@dataclass(frozen=True)
class Record:
    """A training record."""

    where: str
    """File and number, counted from 1."""
    asked: str
    """Its last message of the user, or the document."""
    whole: str
    """All of its text."""


@dataclass
class TestQuestion:
    """A test question, and the closest training records."""

    task: str
    """``benchmark task``."""
    id: str
    text: str
    """Its letters, ideographs and digits, without the beginning and end that all questions of the task share."""
    share: float = 0.0
    """Largest share of its n-grams in one record."""
    share_in: str = ""
    similarity: float = 0.0
    """Largest Jaccard similarity to a prompt or document, of those above the threshold."""
    similar_to: str = ""


@dataclass
class Found:
    """The questions, and the tasks whose data is missing."""

    items: list[TestQuestion] = field(default_factory=list)
    frames: set[tuple[str, str]] = field(default_factory=set)
    """The beginning and end that all questions of a task share."""
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Closeness:
    """How close a record is to a question."""

    question: int
    """Place of the question."""
    share: float
    similarity: float
    """0 below the threshold."""


def plain(text: str) -> str:
    """Letters, ideographs and digits of a text, in lower case."""
    return "".join(character for character in text.lower() if character.isalnum())


def frame(texts: Sequence[str]) -> tuple[str, str]:
    """The beginning and the end that all texts share; empty if there are not two different texts."""
    if len(set(texts)) < 2:
        return "", ""
    start = _common(texts)
    return start, _common([text[len(start) :][::-1] for text in texts])[::-1]


def _common(texts: Sequence[str]) -> str:
    least, most = min(texts), max(texts)
    return least[: next((i for i, pair in enumerate(zip(least, most, strict=False)) if len(set(pair)) > 1), len(least))]


def records(path: Path) -> Iterator[Record]:
    """Records of a training file or folder: prompts, demonstrations or texts, recognised by their fields.

    Raises:
        DataError: if it is none of these, naming file and line.
    """
    for file in corpus_files(path):
        prompts = _prompts(file)
        if prompts is None:
            for number, document in enumerate(read_texts(file), start=1):
                yield Record(f"{file.name}:{number}", document.text, document.text)
            continue
        for number, prompt in enumerate(prompts, start=1):
            said = [message["content"] for message in prompt.messages]
            asked = [message["content"] for message in prompt.messages if message["role"] == "user"] or said
            yield Record(
                f"{file.name}:{number}", asked[-1], "\n".join([*said, prompt.reference, prompt.demonstration or ""])
            )


def _prompts(file: Path) -> list[Any] | None:
    """Prompts or demonstrations of a file; None if it holds texts."""
    problems = []
    for read in (read_prompts, read_demonstrations):
        try:
            return read(file) if file.suffix != ".txt" else None
        except DataError as error:
            problems.append(error)
    try:
        read_texts(file, limit=1)
    except DataError:
        raise problems[0] from None
    return None


class Contamination:
    """Test questions, with which records are compared one by one. What is kept does not grow with their number."""

    def __init__(self, found: Found, n: int = NGRAM, similarity: float = SIMILARITY) -> None:
        from datasketch import MinHash, MinHashLSH  # slow to import

        self.found, self.n, self.similarity = found, n, similarity
        each = [shingles(item.text, n) for item in found.items]
        owners = np.repeat(np.arange(len(each)), [len(one) for one in each])
        codes = np.concatenate([np.empty(0, np.uint64), *each])
        order = np.argsort(codes, kind="stable")
        self._codes, self._owners = codes[order], owners[order]
        self._totals = [len(one) for one in each]
        self._short = sorted({len(item.text) for item in found.items if len(item.text) < n})
        self._empty = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")
        self._index = MinHashLSH(num_perm=PERMUTATIONS, params=banding(similarity))
        self._pieces = [shingles(item.text) for item in found.items]
        for place, pieces in enumerate(self._pieces):
            if len(found.items[place].text) >= SHORTEST:
                self._index.insert(place, self._signature(pieces), check_duplication=False)

    def close(self, record: Record) -> list[Closeness]:
        """The questions of which the record holds a part, or to which it is similar."""
        shares, alike = self._shares(record), self._alike(record)
        places = sorted({*shares, *alike})
        return [Closeness(place, shares.get(place, 0.0), alike.get(place, 0.0)) for place in places]

    def hits(self, record: Record, share: float = SHARE) -> list[TestQuestion]:
        """The questions that are in the record."""
        close = self.close(record)
        return [self.found.items[one.question] for one in close if one.share >= share or one.similarity > 0]

    def note(self, record: Record) -> None:
        """Remember the record at the questions to which none before it was as close."""
        for one in self.close(record):
            item = self.found.items[one.question]
            if one.share > item.share:
                item.share, item.share_in = one.share, record.where
            if one.similarity > item.similarity:
                item.similarity, item.similar_to = one.similarity, record.where

    def _shares(self, record: Record) -> dict[int, float]:
        """Question → share of its n-grams in the record."""
        text = plain(record.whole)
        sizes = [size for size in (self.n, *self._short) if size <= len(text)]
        grams = np.unique(np.concatenate([self._codes[:0], *(shingles(text, size) for size in sizes)]))
        first, last = np.searchsorted(self._codes, grams, "left"), np.searchsorted(self._codes, grams, "right")
        hit = first < last
        if not hit.any():
            return {}
        owned = np.concatenate([self._owners[a:b] for a, b in zip(first[hit], last[hit], strict=True)])
        places, counts = np.unique(owned, return_counts=True)
        found = zip(places.tolist(), counts.tolist(), strict=True)
        items, totals = self.found.items, self._totals
        return {place: count / totals[place] for place, count in found if len(items[place].text) >= SHORTEST}

    def _alike(self, record: Record) -> dict[int, float]:
        """Question → similarity, from the threshold on."""
        asked = plain(record.asked)
        found: dict[int, float] = {}
        for text in {asked} | {asked.removeprefix(start).removesuffix(end) for start, end in self.found.frames}:
            pieces = shingles(text)
            for place in self._index.query(self._signature(pieces)) if text else ():
                alike = jaccard(pieces, self._pieces[place])
                if alike >= self.similarity:
                    found[place] = max(alike, found.get(place, 0.0))
        return found

    def _signature(self, pieces: np.ndarray[Any, np.dtype[np.uint64]]) -> Any:
        made = self._empty.copy()
        made.update_batch((pieces >> np.uint64(32)).tolist())
        return made
