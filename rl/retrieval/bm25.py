"""BM25 (Robertson and Zaragoza 2009; Lucene's variant, by bm25s), its index kept on disk without pickle."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl.retrieval.passages import fingerprint
from rl.retrieval.words import BEST, TERMS

K1, B = 1.2, 0.75
"""Saturation of term frequency, and how far length counts."""


class Bm25Index:
    """Scores of texts for questions."""

    def __init__(self, texts: Sequence[str], cache: Path | None = None, terms: str = BEST) -> None:
        """Take the index from ``cache``, or make it and keep it there; a damaged one is made again."""
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)
        self._terms, self._count = TERMS[terms], len(texts)
        name = fingerprint((terms, str(K1), str(B), bm25s.__version__, *texts))[:32]
        self.path = None if cache is None else cache / f"bm25-{name}"
        self._index: Any = self._load() or self._make(texts)

    def search(self, questions: Sequence[str]) -> np.ndarray:
        """Scores, shape (questions, texts), float32; 0 without a shared term."""
        return np.stack([self._scores(question) for question in questions]) if questions else self._empty(0)

    def _scores(self, question: str) -> np.ndarray:
        known = [term for term in self._terms(question) if term in self._index.vocab_dict]
        return self._index.get_scores(known) if known else self._empty(1)[0]

    def _empty(self, rows: int) -> np.ndarray:
        return np.zeros((rows, self._count), np.float32)

    def _load(self) -> Any:
        import bm25s

        if self.path is None or not self.path.is_dir():
            return None
        try:
            found = bm25s.BM25.load(str(self.path), allow_pickle=False, show_progress=False)
            return found if found.scores["num_docs"] == self._count else None
        except (OSError, ValueError, KeyError, EOFError, TypeError):
            return None

    def _make(self, texts: Sequence[str]) -> Any:
        import bm25s

        index = bm25s.BM25(k1=K1, b=B, method="lucene")
        index.index([self._terms(text) for text in texts], show_progress=False)
        if self.path is not None:
            partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
            index.save(str(partial), allow_pickle=False, show_progress=False)
            shutil.rmtree(self.path, ignore_errors=True)
            os.replace(partial, self.path)
        return index
