"""BM25 for the questions of lay people: everyday words become those of the statutes, and the law counts too.

An article's score is the sum of three: BM25 of the question's words, without phrases that any question has; BM25 of the
statutes' words for its everyday words, by ``glossary.tsv``; and the score of the article's law as a whole (the mean of
its best articles), so that of two articles with the same words the one from the fitting law comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import regex

from rl.retrieval.bm25 import Bm25Index
from rl.retrieval.passages import Passage

GLOSSARY = Path(__file__).with_name("glossary.tsv")
GLOSSARY_WEIGHT, LAW_WEIGHT = 0.5, 0.5
"""Chosen on one half of STARD's questions and confirmed on the other (docs/guides/retrieval.md)."""
BEST_OF_LAW = 3
"""Best articles of a law whose mean is the law's score."""
DEPTH = 2_000
"""Best articles of all laws that are used for these means."""
_FILLERS = regex.compile(
    "(?:怎么|如何)(?:处罚|处理|判)|怎么办|怎么|如何|请问|能不能|可不可以|可以吗|合法吗|违法吗|犯法吗|是不是|有没有|应该|要不要|多少|什么|哪些|哪里|该|吗|呢|吧|啊|了|的"
    "|我们|他们|我|你|他|她|想|要|会"
)  # fmt: skip
"""Phrases that any question may contain."""


class LayIndex:
    """Scores of passages for questions in everyday words."""

    def __init__(self, passages: Sequence[Passage], articles: Bm25Index) -> None:
        """``articles`` holds the texts of the passages, in their order."""
        self._articles = articles
        laws = {law: number for number, law in enumerate(dict.fromkeys(passage.law for passage in passages))}
        self._law = np.array([laws[passage.law] for passage in passages], dtype=np.int64)

    def search(self, questions: Sequence[str]) -> np.ndarray:
        """Scores, shape (questions, passages), float32; 0 where neither words nor law have anything in common."""
        asked = [_FILLERS.sub(" ", question) for question in questions]
        asked = [words if words.strip() else question for words, question in zip(asked, questions, strict=True)]
        scores = self._articles.search(asked) + GLOSSARY_WEIGHT * self._articles.search(
            [*map(in_legal_terms, questions)]
        )
        return np.stack([self._with_law(row) for row in scores]) if len(questions) else scores

    def _with_law(self, scores: np.ndarray) -> np.ndarray:
        """Scores of the articles that share a word, plus their law's score."""
        order = np.argsort(-scores, kind="stable")[:DEPTH]
        order = order[scores[order] > 0]
        law = self._law[order]
        first = {number: np.flatnonzero(law == number)[:BEST_OF_LAW] for number in np.unique(law)}
        of_law = np.zeros(int(self._law.max(initial=-1)) + 1, dtype=np.float32)
        for number, places in first.items():
            of_law[number] = scores[order[places]].sum() / BEST_OF_LAW
        return np.where(scores > 0, scores + LAW_WEIGHT * of_law[self._law], 0).astype(np.float32)


def in_legal_terms(question: str) -> str:
    """The statutes' words for the everyday words of a question; empty where the glossary has none of them."""
    asked = question.lower()
    return " ".join(
        legal for everyday, legal in glossary() if any(all(part in asked for part in way) for way in everyday)
    )


@cache
def glossary() -> tuple[tuple[tuple[tuple[str, ...], ...], str], ...]:
    """(everyday forms, words of the law) of each entry; a form is a set of words that must all be there.

    Raises:
        ValueError: for a line that is not in the form that the top of the file describes.
    """
    found = []
    for number, line in enumerate(GLOSSARY.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        everyday, tab, legal = line.partition("\t")
        if not (tab and everyday.strip() and legal.strip()):
            raise ValueError(f"{GLOSSARY}:{number}: an entry is everyday words, a tab, and words of the law")
        found.append((tuple(tuple(way.split("+")) for way in everyday.split()), legal.strip()))
    return tuple(found)
