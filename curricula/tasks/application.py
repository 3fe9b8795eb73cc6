"""Statute application: which provisions of the Criminal Law decide a case (LegalOne's second task)."""

import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split
from curricula.tasks.cases import CIRCUMSTANCES, draw, five_steps
from curricula.tasks.registry import task


@task("application")
def application(rng: random.Random, split: Split) -> Prompt:
    """The article of the crime and those of up to two circumstances of sentencing. Held out as ``charge`` is."""
    case = draw(rng, split, most_circumstances=2)
    numbers = [case.charge.article, *(CIRCUMSTANCES[name][0] for name in case.circumstances)]
    reference = "、".join(f"刑法第{number}条" for number in numbers)
    found = "".join((case.charge.mark, *case.circumstances))
    think = five_steps(found, "用何条", reference, "相符", case.charge.name)
    return ask("application", case.facts + "适用何条？", reference, "article", think)
