"""Short criminal cases that several tasks ask about: a property crime, its amount, and circumstances of sentencing."""

import random
from dataclasses import dataclass

from curricula.splits import Split, split_of
from curricula.tasks.charge import CHARGES, GOODS, Charge
from curricula.tasks.wording import person, phrase

TIERS = ("数额较大", "数额巨大", "数额特别巨大")
"""Grades of property crimes. Which sum is which differs by province, so the facts name the grade itself."""

CIRCUMSTANCES = {
    "自首": (67, "，后主动投案并如实供述"),
    "累犯": (65, "，系刑满释放三年内再犯"),
    "立功": (68, "，又揭发他人犯罪属实"),
    "从犯": (27, "，在共同犯罪中起辅助作用"),
}
"""Circumstances of sentencing: the article of the Criminal Law, and its words in the facts."""

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{who}{means}{goods}{more}。",
        "被告人{who}{means}{goods}{more}。",
        "经查，{who}{means}{goods}{more}。",
        "据查{who}{means}{goods}{more}。",
    ),
    "dev": ("{who}于日前{means}{goods}{more}。",),
    "test": ("公诉机关指控{who}{means}{goods}{more}。", "某日，{who}{means}{goods}{more}。"),
}


@dataclass(frozen=True)
class Case:
    """A case and what is true of it."""

    charge: Charge
    who: str
    tier: str
    """One of ``TIERS``; empty where the facts don't name it."""
    circumstances: tuple[str, ...]
    facts: str
    """The facts as the question states them."""

    @property
    def punishment(self) -> tuple[int, str]:
        """Article that sets the punishment, and the range of fixed terms (Criminal Law, articles 263 to 274 and 383).

        Robbery starts a grade higher, and embezzlement by officials is defined in 382 and punished in 383.
        """
        grade = TIERS.index(self.tier) + (self.charge.name == "抢劫罪")
        article = 383 if self.charge.name == "贪污罪" else self.charge.article
        return article, ("3年以下", "3年以上10年以下", "10年以上", "10年以上")[grade]


def draw(rng: random.Random, split: Split, tier: bool = False, most_circumstances: int = 0) -> Case:
    """A case of the split. Held out by means and goods, under the same key as the task ``charge``, so
    that no task trains on what another one tests."""
    while True:
        found = rng.choice(CHARGES)
        means, goods = rng.choice(found.means), rng.choice(GOODS)
        if split_of("charge", means, goods) == split:
            break
    grade = rng.choice(TIERS) if tier else ""
    more = tuple(rng.sample(tuple(CIRCUMSTANCES), rng.randint(0, most_circumstances)))
    said = (f"，{grade}" if grade else "") + "".join(CIRCUMSTANCES[name][1] for name in more)
    who = person(rng, split)
    facts = phrase(rng, FRAMES, split, who=who, means=means, goods=goods, more=said)
    return Case(found, who, grade, more, facts)


def five_steps(facts: str, issue: str, rule: str, deduction: str, conclusion: str) -> str:
    """Reasoning in the order of LegalOne's agentic chains of thought (LEAD, section 4): fact finding, issue
    identification, rule retrieval, rule deduction, conclusion."""
    return f"事实：{facts}；争点：{issue}；规则：{rule}；推理：{deduction}；结论：{conclusion}"
