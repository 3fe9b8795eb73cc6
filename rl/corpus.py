"""The corpus of a stage: its sources, read and cleaned once in a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from curricula.corpora import read_corpus
from curricula.records import Document
from rl.config.corpora import CleaningConfig, CorpusSource


@dataclass(frozen=True)
class Corpus:
    """Cleaned documents of every source, in the order of the sources."""

    kept: tuple[Sequence[Document], ...]


@lru_cache(maxsize=4)
def load_corpus(sources: tuple[CorpusSource, ...], clean: CleaningConfig) -> Corpus:
    return Corpus(tuple(read_corpus(source.path, source.laws) for source in sources))
