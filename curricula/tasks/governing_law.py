"""Which law governs: the law that a sentence stands in."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.statutes import Article, Statutes, load_statutes, printed_articles
from curricula.tasks.registry import task
from curricula.tasks.renewed import renewed

LAWS = ("刑法", "民法典", "公司法", "民事诉讼法", "道路交通安全法", "食品安全法", "未成年人保护法", "劳动合同法")
"""Laws to choose from."""
SHORTEST, LONGEST = 10, 36
"""Length of the quoted sentence (characters)."""


def sentences(split: Split) -> dict[str, tuple[str, ...]]:
    """Sentences of each law's articles in the split that don't name the law and stand in one article only."""
    return _sentences(load_statutes(), split)


@lru_cache(maxsize=6)
def _sentences(statutes: Statutes, split: Split) -> dict[str, tuple[str, ...]]:
    printed = _usable([article for article in printed_articles() if article.short in LAWS], split)
    now = _usable([article for law in LAWS for article in statutes.articles(law)], split)
    return {law: tuple(part for _, part in renewed(printed[law], now[law], itemgetter(0))) for law in LAWS}


def _usable(articles: Sequence[Article], split: Split) -> dict[str, list[tuple[str, str]]]:
    """(number of the article, sentence) by law."""
    times = Counter(part for article in articles for part in _parts(article))
    found: dict[str, list[tuple[str, str]]] = {law: [] for law in LAWS}
    for article in articles:
        if split_of(article.law, article.number) == split:
            found[article.short] += [
                (article.number, part)
                for part in _parts(article)
                if SHORTEST <= len(part) <= LONGEST and article.short not in part and times[part] == 1
            ]
    return found


def _parts(article: Article) -> list[str]:
    return re.split(r"[。；\n]", article.text)


@task("governing_law")
def governing_law(rng: random.Random, split: Split) -> Prompt:
    """The law that a quoted sentence comes from, of eight. Held out by article; laws are drawn equally often."""
    law = rng.choice(LAWS)
    quoted = rng.choice(sentences(split)[law])
    return ask("governing_law", f"“{quoted}”出自哪部法律？", law, "text", "查法条")
