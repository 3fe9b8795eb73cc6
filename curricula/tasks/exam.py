"""Examination questions after Unilaw-R1, half of whose demonstrations reason from a cited rule.

Unilaw-R1 draws half of its RL questions from a pool of unselected chains of thought. The same mixture is made here:
half of the demonstrations cite the rule and apply it (what its selection keeps), half give the conclusion alone. A
policy trained on both has something to gain from a reward for legal validity.
"""

import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split
from curricula.tasks.age import age
from curricula.tasks.cases import CIRCUMSTANCES, Case, draw
from curricula.tasks.charge import CHARGES
from curricula.tasks.parole import parole
from curricula.tasks.registry import task

LETTERS = "ABCD"


def _exam(rng: random.Random, base: Prompt, name: str, reasoned: str) -> Prompt:
    """The question with one of the two kinds of demonstration."""
    think = reasoned if rng.random() < 0.5 else f"结论是{base.reference}"
    return ask(name, base.messages[-1]["content"], base.reference, base.answer_kind, think)


def _thought(base: Prompt) -> str:
    return (base.demonstration or "").partition("<think>")[2].partition("</think>")[0]


@task("exam_parole")
def exam_parole(rng: random.Random, split: Split) -> Prompt:
    """As ``parole``; reasoned demonstrations cite article 81 of the Criminal Law."""
    base = parole(rng, split)
    return _exam(rng, base, "exam_parole", f"依刑法第81条，{_thought(base)}")


@task("exam_age")
def exam_age(rng: random.Random, split: Split) -> Prompt:
    """As ``age``; reasoned demonstrations cite article 17 of the Criminal Law, or 17-1."""
    base = age(rng, split)
    article = "第17条之一" if base.reference == "可以从宽" else "第17条"
    return _exam(rng, base, "exam_age", f"依刑法{article}，{_thought(base)}")


@task("exam_charge")
def exam_charge(rng: random.Random, split: Split) -> Prompt:
    """The charge of a short case; reasoned demonstrations cite its article. Held out like ``charge``."""
    case = draw(rng, split)
    base = ask("exam_charge", case.facts + "何罪？", case.charge.name, "charge")
    return _exam(rng, base, "exam_charge", f"{case.charge.mark}，依刑法第{case.charge.article}条")


@task("exam_single")
def exam_single(rng: random.Random, split: Split) -> Prompt:
    """Which of four charges fits a case; reasoned demonstrations speak of every option. Held out as ``charge``."""
    case = draw(rng, split)
    names = [case.charge.name, *rng.sample([c.name for c in CHARGES if c is not case.charge], len(LETTERS) - 1)]
    rng.shuffle(names)
    right = LETTERS[names.index(case.charge.name)]
    base = ask("exam_single", f"{case.facts}何罪？{_listed(names)}", right, "choice")
    rule = f"{case.charge.mark}，依刑法第{case.charge.article}条是{case.charge.name}"
    others = "、".join(letter for letter in LETTERS if letter != right)
    return _exam(rng, base, "exam_single", f"{rule}，{right}项符合规定，正确；{others}项与事实不符")


@task("exam_multi")
def exam_multi(rng: random.Random, split: Split) -> Prompt:
    """Which of a charge and three circumstances apply to a case; reasoned demonstrations cite an article for each
    that applies. Held out like ``charge``."""
    case = draw(rng, split, most_circumstances=2)
    charge = case.charge if rng.random() < 0.5 or not case.circumstances else rng.choice(CHARGES)
    absent = [name for name in CIRCUMSTANCES if name not in case.circumstances]
    names = [charge.name, *case.circumstances]
    names += rng.sample(absent, len(LETTERS) - len(names))
    rng.shuffle(names)
    articles = {name: _article(case, name) for name in names}
    right = "".join(letter for letter, name in zip(LETTERS, names, strict=True) if articles[name])
    base = ask("exam_multi", f"{case.facts}哪些成立？{_listed(names)}", right, "choice")
    said = (
        f"{letter}项依刑法第{articles[name]}条成立" if articles[name] else f"{letter}项无此事实不成立"
        for letter, name in zip(LETTERS, names, strict=True)
    )
    return _exam(rng, base, "exam_multi", "；".join(said))


def _article(case: Case, name: str) -> int | None:
    """The article of a charge or circumstance that applies to a case; None if it does not apply."""
    if name == case.charge.name:
        return case.charge.article
    return CIRCUMSTANCES[name][0] if name in case.circumstances else None


def _listed(names: list[str]) -> str:
    return "".join(f" {letter}.{name}" for letter, name in zip(LETTERS, names, strict=True))
