"""Text as terms of a bag of words; which one serves best was measured (docs/guides/retrieval.md)."""

from __future__ import annotations

from collections.abc import Callable

import regex

from rewards.rules.rouge import words as segmented

_PIECE = regex.compile(r"[\p{L}\p{N}]+")
"""Text between punctuation and white space; pairs of characters stay inside it."""


def words(text: str) -> list[str]:
    """Words as jieba finds them, without punctuation."""
    return [word for word in segmented(text) if _PIECE.fullmatch(word)]


def characters(text: str) -> list[str]:
    """Letters, ideographs and digits, one by one."""
    return [character for piece in _PIECE.findall(text.lower()) for character in piece]


def bigrams(text: str) -> list[str]:
    """Pairs of neighbouring characters."""
    return [piece[i : i + 2] for piece in _PIECE.findall(text.lower()) for i in range(len(piece) - 1)]


TERMS: dict[str, Callable[[str], list[str]]] = {
    "words": words,
    "bigrams": bigrams,
    "characters+bigrams": lambda text: characters(text) + bigrams(text),
    "words+characters+bigrams": lambda text: words(text) + characters(text) + bigrams(text),
}
"""Ways to split a text into terms, by name."""
BEST = "characters+bigrams"
