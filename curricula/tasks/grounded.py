"""Charges with the articles that may apply in the prompt (LexPro-1.0 grounds its answers in retrieved statutes)."""

import random
from functools import lru_cache

from curricula.prompts import Prompt, ask
from curricula.splits import Split
from curricula.statutes import Article, Statutes, load_statutes
from curricula.tasks.cases import draw
from curricula.tasks.registry import task

SPECIAL_PART = range(102, 452)
"""Articles of the Criminal Law that define crimes."""
EXCERPT = 28
"""Characters of an article in the prompt."""
RETRIEVED = 2
"""Articles retrieved beside the right one."""


def bigrams(text: str) -> frozenset[str]:
    """Pairs of neighbouring characters."""
    return frozenset(text[i : i + 2] for i in range(len(text) - 1))


def nearest(number: int) -> tuple[Article, ...]:
    """The articles of the special part whose openings share most character pairs with that of an article (Jaccard);
    ties go to the lower number."""
    return _nearest(load_statutes(), number)


@lru_cache(maxsize=64)
def _nearest(statutes: Statutes, number: int) -> tuple[Article, ...]:
    own = statutes.find("刑法", number)
    if own is None:
        return ()
    query = bigrams(own.text[:EXCERPT])

    def likeness(article: Article) -> float:
        other = bigrams(article.text[:EXCERPT])
        return len(query & other) / max(1, len(query | other))

    others = [a for n in SPECIAL_PART if n != number and (a := statutes.find("刑法", n)) is not None]
    return tuple(sorted(others, key=likeness, reverse=True)[:RETRIEVED])


@task("grounded_charge")
def grounded_charge(rng: random.Random, split: Split) -> Prompt:
    """As ``charge``, with three articles' openings to choose from: the right one and the two most like it.

    The right article is always among them, as in training with a golden passage and distractors (RAFT, Zhang et al.
    2024), so that what is measured is reading and not the retriever. Held out as ``charge`` is.
    """
    case = draw(rng, split)
    own = load_statutes().find("刑法", case.charge.article)
    candidates = [article for article in (own, *nearest(case.charge.article)) if article is not None]
    rng.shuffle(candidates)
    listed = "".join(f"\n第{article.key[0]}条 {article.text[:EXCERPT]}" for article in candidates)
    reference = f"{case.charge.name}，刑法第{case.charge.article}条"
    think = f"{case.charge.mark}，合第{case.charge.article}条"
    return ask("grounded_charge", f"{case.facts}何罪何条？参考：{listed}", reference, "charge", think)
