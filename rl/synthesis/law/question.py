"""A question about the law, and what all kinds of them need to know of the statutes."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from curricula.prompts import AnswerKind
from curricula.statutes import STATE, Article, Statutes

NUMERAL = "[一二三四五六七八九十百千万]+"
_PARTS = re.compile(r"[。；\n]")


@dataclass(frozen=True)
class LawQuestion:
    """A question, the reasoning that leads to its answer, and the answer."""

    question: str
    reasoning: str
    answer: str
    answer_kind: AnswerKind
    """How the reward ``accuracy`` compares answers."""


class Law:
    """The statutes of a day: laws alone, without decisions, amendments and interpretations."""

    def __init__(self, statutes: Statutes) -> None:
        self.statutes = statutes

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Official names."""
        return tuple(name for name in self.statutes.laws if name.startswith(STATE) and name.endswith(("法", "法典")))

    @cached_property
    def _whole(self) -> dict[str, str]:
        return {name: "\n".join(one.text for one in self.statutes.articles(name)) for name in self.statutes.laws}

    def only_in(self, text: str, law: str) -> bool:
        """Whether a text stands in no other statute than this one."""
        return all(name == law or text not in whole for name, whole in self._whole.items())

    @cached_property
    def _times(self) -> Counter[int]:
        """How often each text of an article is one, in statutes of any sort (by hash, to be small)."""
        return Counter(hash(article.text) for article in self.statutes.articles())

    def once(self, text: str) -> bool:
        """Whether a text is that of one article alone."""
        return self._times[hash(text)] == 1


Maker = Callable[[Article, Law, random.Random], LawQuestion | None]
"""(article, law, random numbers) -> a question of one kind; None if the article has none."""


def sentences(text: str) -> Iterator[str]:
    """The parts of an article between full stops, semicolons and line ends."""
    return (part.strip() for part in _PARTS.split(text) if part.strip())


def place(article: Article) -> str:
    """《刑法》第二百六十四条"""
    return f"《{article.short}》{article.number}"
