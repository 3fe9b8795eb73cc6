"""Cleaning of a corpus: drops what is not text, other languages, and copies across all sources."""

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from curricula.errors import DataError
from curricula.records import Document

Item = TypeVar("Item")
Reason = Literal["too_short", "not_text", "other_language", "exact_copy", "near_duplicate"]

SHINGLE = 5
"""Characters of the pieces whose sets are compared."""
PERMUTATIONS = 64
"""Length of a MinHash signature."""
COMPARED = 8
"""Most candidates that a document is compared with; without it many documents of one template take quadratic time."""
RECALL = 0.98
"""Lowest probability that a pair exactly as similar as the threshold is compared (LSH banding)."""

_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_TEXT = re.compile(r"[^\W_]")
_IDEOGRAPH = re.compile("[〇\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Cleaning:
    """What is dropped; see :func:`fault` and :class:`Duplicates`."""

    near_duplicates: float = 0.8
    """Jaccard similarity from which the later of two documents is dropped; 0 drops only exact copies."""
    min_chars: int = 10
    """Shortest document (characters that are not white space)."""
    min_text: float = 0.6
    """Lowest share of letters, ideographs and digits outside of tags, among characters that are not white space."""
    min_chinese: float = 0.0
    """Lowest share of ideographs among letters and ideographs."""


def clean(sources: Sequence[Sequence[Document]], rules: Cleaning) -> tuple[list[list[Document]], list[dict[str, int]]]:
    """The documents of each source that are kept, in their order, and for each source how many were dropped and why.

    Raises:
        DataError: if nothing is left of a source.
    """
    duplicates = Duplicates(rules.near_duplicates)
    kept: list[list[Document]] = []
    dropped: list[dict[str, int]] = []
    for number, documents in enumerate(sources, start=1):
        left: list[Document] = []
        reasons: Counter[str] = Counter()
        for document in documents:
            reason = fault(document.text, rules) or duplicates.add(document.text)
            if reason is None:
                left.append(document)
            else:
                reasons[reason] += 1
        if not left:
            why = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()))
            raise DataError(f"source {number}: cleaning left none of its {len(documents)} documents ({why}); loosen it")
        kept.append(left)
        dropped.append(dict(sorted(reasons.items())))
    return kept, dropped


def fault(text: str, rules: Cleaning) -> Reason | None:
    """Why a document is dropped, whatever the others are; None if it is kept."""
    dense = _dense(text)
    if len(dense) < rules.min_chars:
        return "too_short"
    if len(_TEXT.findall(_TAG.sub("", text))) < rules.min_text * len(dense):
        return "not_text"
    # Counting is slow, so it is skipped where it can't matter.
    if rules.min_chinese and len(_IDEOGRAPH.findall(dense)) < rules.min_chinese * max(1, len(_LETTER.findall(dense))):
        return "other_language"
    return None


class Duplicates:
    """Documents seen so far, to find later copies of them. White space is ignored.

    Candidates come from locality-sensitive hashing of MinHash signatures (Broder 1997); those whose signatures agree
    most (``COMPARED`` of them) are then decided by the true Jaccard similarity of their sets of character 5-grams, so
    an error of the estimate drops none. A pair at the threshold is missed in about 1 - ``RECALL`` of cases,
    one above it more rarely. Takes about 2 kB of memory per document besides its text, which ``on_disk`` keeps in a
    temporary file.
    """

    def __init__(self, threshold: float, on_disk: bool = False) -> None:
        self.threshold = threshold
        self._digests: dict[bytes, int] = {}
        self._new = 0
        self._kept: list[str] | TextsOnDisk = TextsOnDisk() if on_disk else []
        self._signatures = np.empty((1024, PERMUTATIONS), dtype=np.uint32)
        self._index: Any = None
        if threshold:
            from datasketch import MinHash, MinHashLSH  # slow to import

            self._index = MinHashLSH(num_perm=PERMUTATIONS, params=banding(threshold))
            self._empty = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")

    def add(self, text: str) -> Reason | None:
        """How a document copies an earlier one; None for a new document, which is remembered."""
        copy = self.copy_of(text)
        return copy and copy[0]

    def copy_of(self, text: str) -> tuple[Reason, int] | None:
        """As :meth:`add`, with the number of the new document that it copies, counted from 0."""
        dense = _dense(text)
        digest = hashlib.blake2b(dense.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._digests:
            return "exact_copy", self._digests[digest]
        self._digests[digest] = self._new
        if self._index is None:
            self._new += 1
            return None
        pieces = shingles(dense)
        signature = self._empty.copy()
        for start in range(0, len(pieces), 65536):  # bounds the memory that a long document takes
            signature.update_batch((pieces[start : start + 65536] >> np.uint64(32)).tolist())
        nearest = self._nearest(signature)
        for place in nearest:
            if jaccard(pieces, shingles(_dense(self._kept[place]))) >= self.threshold:
                self._digests[digest] = place
                return "near_duplicate", place
        if len(self._kept) == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.empty_like(self._signatures)])
        self._signatures[len(self._kept)] = signature.hashvalues
        self._index.insert(len(self._kept), signature, check_duplication=False)
        self._kept.append(text)
        self._new += 1
        return None

    def _nearest(self, signature: Any) -> list[int]:
        candidates = sorted(self._index.query(signature))
        if len(candidates) <= COMPARED:
            return candidates
        agreeing = (self._signatures[candidates] == signature.hashvalues).sum(axis=1)
        return [candidates[i] for i in np.argsort(-agreeing, kind="stable")[:COMPARED]]


class TextsOnDisk:
    """A list of texts in a temporary file without a name, which goes with it, however the process ends."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` is where the file lies; None is the system's folder of temporary files."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  lives as long as the list
        self._ends = [0]

    def append(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self._file.seek(self._ends[-1])
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def __getitem__(self, place: int) -> str:
        self._file.seek(self._ends[place])
        return self._file.read(self._ends[place + 1] - self._ends[place]).decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self._ends) - 1


def copies(
    items: Iterable[Item], text: Callable[[Item], str], threshold: float = 0.8
) -> Iterator[tuple[Item, Reason | None]]:
    """Each item, with how its text copies that of an earlier one, or None. Items come one by one and none is kept;
    texts are compared as :class:`Duplicates` does, which keeps them on disk."""
    duplicates = Duplicates(threshold, on_disk=True)
    for item in items:
        yield item, duplicates.add(text(item))


def banding(threshold: float) -> tuple[int, int]:
    """(bands, rows) of LSH: the most rows, hence the fewest candidates, that find a pair at the threshold with a
    chance 1 - (1 - threshold^rows)^bands of at least ``RECALL``; one row if none does."""
    for rows in range(PERMUTATIONS // 2, 1, -1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return bands, rows
    return PERMUTATIONS, 1


def shingles(text: str, size: int = SHINGLE) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Hashes (64 bits, sorted, each once) of a text's pieces of ``size`` characters; of all of a shorter text."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    width = max(1, min(size, len(codes)))
    count = len(codes) - width + 1
    hashes = np.zeros(max(0, count), dtype=np.uint64)
    for offset in range(width):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + count]
        hashes ^= hashes >> np.uint64(29)
    hashes.sort()
    return hashes[np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]]  # np.unique takes six times as long


def jaccard(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Jaccard similarity of two sets (sorted, each element once); 0 for two empty sets."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(1, len(one) + len(other) - shared)


def _dense(text: str) -> str:
    return "".join(text.split())
