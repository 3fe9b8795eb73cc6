"""Articles for questions: by BM25, by vectors, or by both, their rankings fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from rewards.parsing import article_refs
from rewards.statute_check import article_of
from rl.errors import UserError
from rl.retrieval.bm25 import Bm25Index
from rl.retrieval.dense import Encoder
from rl.retrieval.lay import LayIndex
from rl.retrieval.passages import Passage

Method = Literal["bm25", "dense", "hybrid"]
METHODS: tuple[Method, ...] = ("bm25", "dense", "hybrid")
CACHE = Path(".cache/retrieval")
"""Folder of indexes and vectors, relative to the folder that a command runs in."""
FUSED = 60
"""k of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""
DEPTH = 1_000
"""Places of a ranking that fusion uses."""
AT_ONCE = 64
"""Questions whose scores are held at once."""


class Index(Protocol):
    """Scores of texts for questions."""

    def search(self, questions: Sequence[str]) -> np.ndarray:
        """Shape (questions, texts); higher is better."""


@dataclass(frozen=True)
class Hit:
    """A found article."""

    passage: Passage
    score: float
    """BM25's score, a cosine, or a sum of reciprocal ranks; only comparable within one question."""
    named: bool = False
    """Whether the question names the article; such hits come first."""


class Retriever:
    """Finds passages by one index, or by several whose rankings are fused."""

    def __init__(self, passages: Sequence[Passage], indexes: Sequence[Index]) -> None:
        self.passages, self.indexes = passages, indexes
        self._place = {passage.key: place for place, passage in enumerate(passages)}

    def ranked(self, questions: Sequence[str], k: int, laws: Sequence[str] = ()) -> list[list[tuple[int, float]]]:
        """For each question (place of a passage, score), best first, at most ``k``; ties in the passages' order.

        Raises:
            UserError: if ``laws`` names one that no passage is of.
        """
        allowed = self._allowed(laws)
        found = []
        for start in range(0, len(questions), AT_ONCE):
            batch = questions[start : start + AT_ONCE]
            scores = [index.search(batch) for index in self.indexes]
            for row in range(len(batch)):
                found.append(_best([score[row] for score in scores], allowed, k))
        return found

    def search(self, question: str, k: int, laws: Sequence[str] = ()) -> list[Hit]:
        """The articles that the question names itself, then the best others; ``k`` in all.

        Raises:
            UserError: if ``laws`` names one that no passage is of.
        """
        named = [place for place in self._named(question) if self._allowed(laws)[place]]
        ranked = dict(self.ranked([question], k + len(named), laws)[0])
        order = [*named, *(place for place in ranked if place not in named)][:k]
        return [Hit(self.passages[p], ranked.get(p, 0.0), p in named) for p in order]

    def _named(self, question: str) -> list[int]:
        cited = (article_of(ref) for ref in article_refs(question))
        places = (self._place.get((a.short, a.key)) for a in cited if a is not None)
        return list(dict.fromkeys(place for place in places if place is not None))

    def _allowed(self, laws: Sequence[str]) -> np.ndarray:
        wanted = {law.strip("《》").removeprefix("中华人民共和国") for law in laws}
        known = {passage.law for passage in self.passages}
        if wanted - known:
            raise UserError(
                f"no law in force is named {sorted(wanted - known)[0]}; give its official name, such as 刑法"
            )
        return np.array([not wanted or passage.law in wanted for passage in self.passages], dtype=bool)


def _best(rankings: Sequence[np.ndarray], allowed: np.ndarray, k: int) -> list[tuple[int, float]]:
    if len(rankings) == 1:
        return _top(rankings[0], allowed, k)
    fused = np.zeros(len(allowed))
    for scores in rankings:
        for rank, (place, _) in enumerate(_top(scores, allowed, DEPTH), start=1):
            fused[place] += 1 / (FUSED + rank)
    return _top(fused, allowed & (fused > 0), k)


def _top(scores: np.ndarray, allowed: np.ndarray, k: int) -> list[tuple[int, float]]:
    places = np.flatnonzero(allowed)
    order = places[np.argsort(-scores[places], kind="stable")[:k]]
    return [(int(place), float(scores[place])) for place in order if scores[place] != 0]


def retriever(
    passages: Sequence[Passage],
    method: Method,
    model: Path | None = None,
    cache: Path | None = CACHE,
    terms: str | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Retriever:
    """A retriever by the name of its method; ``advance`` gets the number of texts that have a vector.

    Raises:
        UserError: if dense retrieval is asked for without a model, or the model can't be loaded.
    """
    texts = [passage.searched for passage in passages]
    indexes: list[Index] = []
    if method != "dense":
        indexes.append(LayIndex(passages, Bm25Index(texts, cache, **({} if terms is None else {"terms": terms}))))
    if method != "bm25":
        if model is None:
            raise UserError(
                f"--method {method} needs a folder of a sentence-transformers model (--model; answer: --embedder)"
            )
        indexes.append(Encoder(model).index(texts, cache or CACHE, advance))
    return Retriever(passages, indexes)
