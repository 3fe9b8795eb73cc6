"""Majority vote (self-consistency; Wang et al. 2023): votes are for the content of an answer, not its wording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from rewards.parsing import articles, charges, find_choice, normalised, quantity, term


def _months(text: str) -> Hashable | None:
    found = term(text)
    return None if found is None else (found.kind, found.months)


def _number(text: str) -> Hashable | None:
    found = quantity(text)
    if found is not None:
        return found
    sentence = term(text)
    return None if sentence is None or sentence.months is None else (sentence.months, "月")


KINDS: dict[str, Callable[[str], Hashable | None]] = {
    "choice": find_choice,
    "number": _number,
    "term": _months,
    "article": lambda text: articles(text) or None,
    "charge": lambda text: (charges(text), articles(text)) if charges(text) else None,
    "text": lambda text: normalised(text) or None,
}
"""For each kind of answer, what it says: a set of options, a number with its unit, a sentence in months, a set of
articles, charges with their articles, or the words; None if that can't be read."""


def majority(predictions: Sequence[str], kind: str) -> int:
    """Place of the first prediction with the most frequent content; the first of all where none can be read."""
    said = [KINDS[kind](text) for text in predictions]
    counts = Counter(value for value in said if value is not None)
    return said.index(counts.most_common(1)[0][0]) if counts else 0
