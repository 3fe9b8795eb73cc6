"""Which law governs: the law that a sentence stands in."""

import random
import re
from collections import Counter
from functools import lru_cache

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.statutes import load_statutes
from curricula.tasks.registry import task

LAWS = ("刑法", "民法典", "公司法", "民事诉讼法", "道路交通安全法", "食品安全法", "未成年人保护法", "劳动合同法")
"""Laws to choose from."""
SHORTEST, LONGEST = 10, 36
"""Length of the quoted sentence (characters)."""


@lru_cache(maxsize=3)
def sentences(split: Split) -> dict[str, tuple[str, ...]]:
    """Sentences of each law's articles in the split that don't name the law and stand in one article only."""
    places = {(law, a.number): re.split(r"[。；\n]", a.text) for law in LAWS for a in load_statutes().articles(law)}
    times = Counter(part for parts in places.values() for part in parts)
    found: dict[str, list[str]] = {law: [] for law in LAWS}
    for (law, number), parts in places.items():
        if split_of("中华人民共和国" + law, number) == split:
            usable = (p for p in parts if SHORTEST <= len(p) <= LONGEST and law not in p and times[p] == 1)
            found[law].extend(usable)
    return {law: tuple(parts) for law, parts in found.items()}


@task("governing_law")
def governing_law(rng: random.Random, split: Split) -> Prompt:
    """The law that a quoted sentence comes from, of eight. Held out by article; laws are drawn equally often."""
    law = rng.choice(LAWS)
    quoted = rng.choice(sentences(split)[law])
    return ask("governing_law", f"“{quoted}”出自哪部法律？", law, "text", "查法条")
