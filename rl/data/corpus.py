"""The corpus of a stage: its sources, read and cleaned once in a process; its held-out documents; and its card."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from curricula.cleaning import Cleaning, clean
from curricula.records import Document
from rl.config.corpora import CleaningConfig, CorpusSource


@dataclass(frozen=True)
class Corpus:
    """Cleaned documents of every source, in the order of the sources."""

    kept: list[list[Document]]
    dropped: list[dict[str, int]]
    """Number of documents that were left out, by source and reason."""


@lru_cache(maxsize=4)
def load_corpus(sources: tuple[CorpusSource, ...], rules: CleaningConfig) -> Corpus:
    """Read and clean the sources of a stage.

    Raises:
        DataError: if a source is missing, malformed, or empty after cleaning.
    """
    wanted = Cleaning(
        near_duplicates=rules.near_duplicates,
        min_chars=rules.min_chars,
        min_text=rules.min_text,
        min_chinese=rules.min_chinese,
    )
    return Corpus(*clean([source.read() for source in sources], wanted))


def hold_out(documents: Sequence[Document], n: int) -> tuple[list[Document], list[Document]]:
    """Documents to train on, and ``n`` (half at most) to measure on: those with the lowest content hashes."""
    order = sorted(range(len(documents)), key=lambda i: hashlib.sha256(documents[i].text.encode()).digest())
    aside = set(order[: min(n, len(documents) // 2)])
    return (
        [document for i, document in enumerate(documents) if i not in aside],
        [document for i, document in enumerate(documents) if i in aside],
    )
