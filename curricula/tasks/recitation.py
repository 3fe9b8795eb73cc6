"""Recitation: complete the opening of an article."""

import random
import re
from collections.abc import Iterable
from functools import lru_cache

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.statutes import Article, Statutes, load_statutes, printed_articles
from curricula.tasks.registry import task
from curricula.tasks.renewed import renewed

LAWS = ("刑法",)
"""Laws that are recited."""
LONGEST = 40
"""Most characters asked for; a nano model has no room for more."""


Passage = tuple[Article, str, str]
"""(article, given opening, wanted continuation)."""


def passages(split: Split) -> tuple[Passage, ...]:
    """The passages of the split: the first sentence of an article, cut at a comma."""
    return _passages(load_statutes(), split)


@lru_cache(maxsize=6)
def _passages(statutes: Statutes, split: Split) -> tuple[Passage, ...]:
    printed = _usable([article for article in printed_articles() if article.short in LAWS], split)
    now = _usable([article for law in LAWS for article in statutes.articles(law)], split)
    return renewed(printed, now, lambda passage: (passage[0].law, passage[0].number))


def _usable(articles: Iterable[Article], split: Split) -> list[Passage]:
    found = []
    for article in articles:
        sentence = re.split(r"[。；\n]", article.text)[0]
        head, comma, rest = sentence.partition("，")
        if (
            comma
            and 4 <= len(rest) <= LONGEST
            and len(head) <= LONGEST
            and split_of(article.law, article.number) == split
        ):
            found.append((article, head, rest))
    return found


@task("recitation")
def recitation(rng: random.Random, split: Split) -> Prompt:
    """The rest of an article's first sentence after its opening clause. Held out by article."""
    article, head, rest = rng.choice(passages(split))
    return ask("recitation", f"{article.short}{article.number}：{head}，请续写。", rest, "text", article.number)
