"""Judgment prediction and drafting (LegalOne's last two tasks)."""

import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split
from curricula.statutes import load_statutes
from curricula.tasks.cases import draw, five_steps
from curricula.tasks.registry import task

CONDUCT = {
    "盗窃罪": "秘密窃取他人财物",
    "诈骗罪": "虚构事实骗取他人财物",
    "抢夺罪": "公然夺取他人财物",
    "抢劫罪": "以暴力胁迫劫取他人财物",
    "敲诈勒索罪": "以要挟索取他人财物",
    "职务侵占罪": "利用职务便利侵占单位财物",
    "贪污罪": "利用职务便利侵吞公共财物",
}
"""The conduct that makes each crime, as a judgment words it."""


@task("judgment")
def judgment(rng: random.Random, split: Split) -> Prompt:
    """Charge, article and range of the fixed term; the facts name the grade of the amount. Held out as ``charge``."""
    case = draw(rng, split, tier=True)
    article, term = case.punishment
    think = five_steps(case.charge.mark + case.tier, "罪与刑", f"刑法第{article}条", f"处{term}", case.charge.name)
    reference = f"{case.charge.name}，刑法第{article}条，{term}"
    return ask("judgment", case.facts + "罪名、法条、刑期？", reference, "text", think)


@task("drafting")
def drafting(rng: random.Random, split: Split) -> Prompt:
    """The sentence of a judgment that holds what the crime is, in official form. Held out as ``charge``."""
    case = draw(rng, split, tier=True)
    number, _ = case.punishment
    article = load_statutes().find("刑法", number)
    printed = article.number if article else f"第{number}条"
    reference = (
        f"本院认为，被告人{case.who}{CONDUCT[case.charge.name]}，{case.tier}，其行为已构成{case.charge.name}，"
        f"依照《中华人民共和国刑法》{printed}之规定，应予惩处。"
    )
    think = five_steps(case.charge.mark, "何罪", f"刑法第{number}条", "相符", case.charge.name)
    return ask("drafting", case.facts + "写本院认为。", reference, "text", think)
