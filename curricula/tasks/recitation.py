"""Recitation: complete the opening of an article."""

import random
import re
from functools import lru_cache

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.statutes import Article, load_statutes
from curricula.tasks.registry import task

LAWS = ("刑法",)
"""Laws that are recited."""
LONGEST = 40
"""Most characters asked for; a nano model has no room for more."""


@lru_cache(maxsize=3)
def passages(split: Split) -> tuple[tuple[Article, str, str], ...]:
    """(article, given opening, wanted continuation) of the split: the first sentence, cut at a comma."""
    found = []
    for law in LAWS:
        for article in load_statutes().articles(law):
            sentence = re.split(r"[。；\n]", article.text)[0]
            head, comma, rest = sentence.partition("，")
            if (
                comma
                and 4 <= len(rest) <= LONGEST
                and len(head) <= LONGEST
                and split_of(article.law, article.number) == split
            ):
                found.append((article, head, rest))
    return tuple(found)


@task("recitation")
def recitation(rng: random.Random, split: Split) -> Prompt:
    """The rest of an article's first sentence after its opening clause. Held out by article."""
    article, head, rest = rng.choice(passages(split))
    return ask("recitation", f"{article.short}{article.number}：{head}，请续写。", rest, "text", article.number)
