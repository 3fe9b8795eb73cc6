"""Sentencing arithmetic: detention credited against a term (Criminal Law, articles 41, 44 and 47)."""

import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.tasks.registry import task
from curricula.tasks.wording import person, phrase

CREDIT = {"管制": 2, "拘役": 1, "有期徒刑": 1}
"""Days of the sentence that one day of earlier detention counts for."""
RANGE = {"管制": (3, 24), "拘役": (2, 6), "有期徒刑": (6, 36)}
"""Shortest and longest term asked about (months)."""

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{who}被判{kind}{term}，先行羁押{held}个月。",
        "法院判处{who}{kind}{term}，此前羁押{held}个月。",
        "{who}羁押{held}个月后被判{kind}{term}。",
    ),
    "dev": ("{who}获刑{kind}{term}，判前羁押{held}个月。",),
    "test": ("判处{who}{kind}{term}，判决前羁押{held}个月。", "{who}先行羁押{held}个月，后被判处{kind}{term}。"),
}


def remaining(term: int, held: int, kind: str) -> int:
    """Months that remain of a term after the credit for months of detention, worked out exactly."""
    from sympy import Integer

    return int(Integer(term) - Integer(CREDIT[kind]) * Integer(held))


def spelled(months: int) -> str:
    """A term as judgments print it: 1年6个月."""
    years, rest = divmod(months, 12)
    return (f"{years}年" if years else "") + (f"{rest}个月" if rest else "")


@task("sentence_terms")
def sentence_terms(rng: random.Random, split: Split) -> Prompt:
    """How many months remain after detention is credited. Held out by kind, term and detention."""
    while True:
        kind = rng.choice(tuple(CREDIT))
        term, held = rng.randint(*RANGE[kind]), rng.randint(1, 11)
        if CREDIT[kind] * held < term and split_of("terms", kind, term, held) == split:
            break
    left = remaining(term, held, kind)
    values = {"who": person(rng, split), "kind": kind, "term": spelled(term), "held": held}
    question = phrase(rng, FRAMES, split, **values) + "还剩多久？"
    return ask("sentence_terms", question, f"{left}个月", "number", f"{term}-{CREDIT[kind] * held}={left}")
