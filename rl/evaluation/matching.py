"""Finds the question that a prediction answers, by the prompt that the model was given.

Published predictions may follow another order or version of the questions than the data at hand. Where they record the
prompt, questions are searched in it. The one that ends last counts, as examples come first; of several, the longest.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import regex

from rl.evaluation.benchmark import Question

TAIL = 16
"""Characters at the end of a question by which it is looked up."""

_BLANK = regex.compile(r"[\p{Z}\p{C}]+")
_LETTERS = regex.compile(r"[A-Z]+")
_MARKS = regex.compile(r"[\p{P}\p{S}]+")


def normalised(text: str) -> str:
    """A text without white space and invisible characters, each character in one form."""
    return str(_BLANK.sub("", unicodedata.normalize("NFKC", text)))


@dataclass
class Placement:
    """Which prediction answers which question, and what does not match."""

    places: dict[int, int] = field(default_factory=dict)
    """Number of a question to the number of its prediction."""
    unknown: list[int] = field(default_factory=list)
    """Predictions whose prompt holds no question, or a question that another prediction answers already."""
    ambiguous: list[int] = field(default_factory=list)
    """Predictions that fit several questions equally well."""


class Finder:
    """Finds questions inside prompts."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.parts = [tuple(map(normalised, question.parts or (question.prompt,))) for question in questions]
        self.groups: dict[str, list[int]] = defaultdict(list)
        for number, (main, *_) in enumerate(self.parts):
            self.groups[main].append(number)
        tails: dict[str, set[int]] = defaultdict(set)
        for main in self.groups:
            if main:
                tails[main[-TAIL:]].add(len(main))
        self._lengths = {tail: sorted(lengths, reverse=True) for tail, lengths in tails.items()}
        """Lengths of the questions that end with a tail, longest first. Questions of an examination often end with the
        same words, so that these are far fewer than the questions."""
        self._sizes = sorted({len(tail) for tail in tails}, reverse=True)

    def main_of(self, asked: str) -> str | None:
        """The normalised question that ends last in a normalised text; the longest one there."""
        for end in range(len(asked), 0, -1):
            for size in self._sizes:
                for length in self._lengths.get(asked[end - size : end], ()) if size <= end else ():
                    if length <= end and asked[end - length : end] in self.groups:
                        return asked[end - length : end]
        return None


def place(
    asked: Sequence[str], ids: Sequence[str], references: Sequence[Any], questions: Sequence[Question]
) -> Placement:
    """Give each question the prediction that answers it. ``asked``, ``ids`` and ``references`` are the predictions'.

    Between questions with the same text, the further parts (such as options) decide, then the id, then the reference,
    then the order. Pass an empty id where ids are only positions.
    """
    finder, found = Finder(questions), Placement()
    of_main: dict[str, list[int]] = defaultdict(list)
    texts = [normalised(text) for text in asked]
    for number, text in enumerate(texts):
        main = finder.main_of(text)
        if main is None:
            found.unknown.append(number)
        else:
            of_main[main].append(number)
    for main, numbers in of_main.items():
        free = list(finder.groups[main])
        for number in numbers:
            if not free:
                found.unknown.append(number)
                continue
            fits = {
                one: (
                    sum(part in texts[number] for part in finder.parts[one]),
                    ids[number] == questions[one].id,
                    same(references[number], questions[one].reference) is True,
                )
                for one in free
            }
            best = [one for one in free if fits[one] == max(fits.values())]
            if len({finder.parts[one] for one in best}) > 1 and not fits[best[0]][1]:
                found.ambiguous.append(number)
            found.places[best[0]] = number
            free.remove(best[0])
    return found


def names(ids: Collection[str]) -> bool:
    """Whether ids are more than positions. Positions count from 0 or 1, or number documents and their sentences."""
    if all("." in key and key.replace(".", "").isdecimal() for key in ids):
        return False
    numbers = sorted(int(key) for key in ids if key.isdecimal())
    return len(numbers) < len(ids) or numbers not in (list(range(len(ids))), list(range(1, len(ids) + 1)))


def same(one: Any, other: Any) -> bool | None:
    """Whether two references agree; None where one is empty or they can't be compared."""
    first, second = _plain(one), _plain(other)
    return first == second if first and second else None


def _plain(reference: Any) -> str:
    parts = reference if isinstance(reference, list | tuple) else [reference]
    if not all(isinstance(part, str | int | float) for part in parts):
        return ""
    texts = [normalised(str(part)) for part in parts]
    bare = _MARKS.sub("", "".join(texts))
    return "".join(sorted(bare)) if _LETTERS.fullmatch(bare) else "\n".join(sorted(texts)).strip()


def differing(references: Iterable[Any], questions: Sequence[Question]) -> list[int]:
    """Numbers of the questions whose reference differs from the prediction's."""
    pairs = enumerate(zip(references, questions, strict=True))
    return [number for number, (given, question) in pairs if same(given, question.reference) is False]
