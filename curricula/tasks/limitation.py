"""Limitation of prosecution (Criminal Law, article 87)."""

import random
from functools import lru_cache

from curricula.prompts import Prompt, ask
from curricula.splits import Split
from curricula.tasks.registry import task
from curricula.tasks.wording import cases_by_answer, person, phrase

MAXIMA: dict[int, tuple[str, ...]] = {
    5: ("拘役", "管制", "1年", "2年", "3年", "4年"),
    10: ("5年", "6年", "7年", "8年", "9年"),
    15: ("10年", "11年", "12年", "13年", "14年", "15年"),
    20: ("无期", "无期徒刑", "死刑"),
}
"""Heaviest punishment that the offence allows, by the period of article 87 (years)."""

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{who}犯罪，最高刑{maximum}，{years}年后案发。",
        "{who}所犯之罪法定最高刑{maximum}，{years}年后才被发现。",
        "被告人{who}最高刑{maximum}，作案{years}年后到案。",
        "{who}作案已{years}年，最高刑{maximum}。",
        "据查，{who}犯罪至今{years}年，该罪最高刑{maximum}。",
        "{years}年前{who}作案，最高刑{maximum}。",
        "该罪最高刑{maximum}，{who}{years}年后被抓获。",
        "检察机关认定{who}最高刑{maximum}，案发距今{years}年。",
        "{who}（作案后{years}年归案）法定最高刑{maximum}。",
        "当日抓获{who}：{years}年前犯罪，最高刑{maximum}。",
    ),
    "dev": (
        "{who}涉嫌犯罪，最高刑{maximum}，过了{years}年立案。",
        "经审查，{years}年前{who}犯案，其法定最高刑{maximum}。",
        "嫌疑人{who}犯案{years}年后自首，最高刑{maximum}。",
    ),
    "test": (
        "经查，{who}最高刑{maximum}，犯罪后{years}年立案。",
        "公诉机关指控{who}作案{years}年后案发，最高刑{maximum}。",
    ),
}


def period_of(maximum: str) -> int:
    """The limitation period for a maximum punishment (years)."""
    return next(period for period, punishments in MAXIMA.items() if maximum in punishments)


@lru_cache(maxsize=3)
def cases(split: Split) -> dict[str, tuple[tuple[str, int], ...]]:
    """(maximum punishment, years since the offence) of the split by the answer. The last day itself is left out."""
    return cases_by_answer(
        "limitation",
        split,
        (
            (f"{period}年{'已过' if years > period else '未过'}", (maximum, years))
            for period, punishments in MAXIMA.items()
            for maximum in punishments
            for years in range(max(1, period - 12), period + 16)
            if years != period
        ),
    )


@task("limitation")
def limitation(rng: random.Random, split: Split) -> Prompt:
    """The limitation period for a maximum punishment, and whether it has run out. Held out by punishment and years;
    answers are balanced.

    Simplified: no flight, no further offence, no approval beyond twenty years (articles 88 and 89).
    """
    by_answer = cases(split)
    answer = rng.choice(tuple(by_answer))
    maximum, years = rng.choice(by_answer[answer])
    question = phrase(rng, FRAMES, split, who=person(rng, split), maximum=maximum, years=years) + "追诉时效？"
    period = period_of(maximum)
    think = f"期限{period}，{years}{'超' if years > period else '未超'}{period}"
    return ask("limitation", question, answer, "text", think)
