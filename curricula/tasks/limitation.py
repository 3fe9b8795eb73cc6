"""Limitation of prosecution (Criminal Law, article 87)."""

import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.tasks.registry import task
from curricula.tasks.wording import person, phrase

MAXIMA: dict[int, tuple[str, ...]] = {
    5: ("拘役", "管制", "1年", "2年", "3年", "4年"),
    10: ("5年", "6年", "7年", "8年", "9年"),
    15: ("10年", "11年", "12年", "13年", "14年", "15年"),
    20: ("无期", "死刑"),
}
"""Heaviest punishment that the offence allows, by the period of article 87 (years)."""

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{who}犯罪，最高刑{maximum}，{years}年后案发。",
        "{who}所犯之罪法定最高刑{maximum}，{years}年后才被发现。",
        "被告人{who}最高刑{maximum}，作案{years}年后到案。",
        "{who}作案已{years}年，最高刑{maximum}。",
    ),
    "dev": ("{who}涉嫌犯罪，最高刑{maximum}，过了{years}年立案。",),
    "test": (
        "经查，{who}最高刑{maximum}，犯罪后{years}年立案。",
        "公诉机关指控{who}作案{years}年后案发，最高刑{maximum}。",
    ),
}


@task("limitation")
def limitation(rng: random.Random, split: Split) -> Prompt:
    """The limitation period for a maximum punishment, and whether it has run out. Held out by punishment and years.

    Simplified: no flight, no further offence, no approval beyond twenty years (articles 88 and 89).
    """
    while True:
        period = rng.choice(tuple(MAXIMA))
        maximum = rng.choice(MAXIMA[period])
        expired = rng.random() < 0.5
        years = rng.randint(period + 1, period + 11) if expired else rng.randint(max(1, period - 10), period - 1)
        if split_of("limitation", maximum, years) == split:
            break
    question = phrase(rng, FRAMES, split, who=person(rng, split), maximum=maximum, years=years) + "追诉时效？"
    think = f"期限{period}，{years}{'超' if expired else '未超'}{period}"
    return ask("limitation", question, f"{period}年{'已过' if expired else '未过'}", "text", think)
