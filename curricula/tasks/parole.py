"""Parole (Criminal Law, article 81)."""

import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.tasks.registry import task
from curricula.tasks.wording import person, phrase

VIOLENT = ("抢劫", "绑架", "放火", "爆炸", "强奸", "故意杀人")
"""Crimes of the second paragraph, for which a term of ten years and more excludes parole."""
OTHER = ("盗窃", "诈骗", "受贿", "贪污", "走私", "挪用公款", "合同诈骗", "行贿")
LIFE = 0
LIFE_MINIMUM = 13
"""Years that must be served of a life sentence."""

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{who}因{crime}被判{term}，已服刑{served}年{mark}。",
        "罪犯{who}犯{crime}罪，刑期{term}，执行{served}年{mark}。",
        "{who}犯{crime}罪获刑{term}，服刑{served}年{mark}。",
        "{who}已服刑{served}年，原判{crime}罪{term}{mark}。",
    ),
    "dev": ("{who}因{crime}罪判{term}，实际执行{served}年{mark}。",),
    "test": (
        "经查，{who}犯{crime}罪判{term}，已执行{served}年{mark}。",
        "某监狱罪犯{who}因{crime}服刑{served}年，刑期{term}{mark}。",
    ),
}


def decision(crime: str, term: int, served: int, recidivist: bool) -> str:
    """What article 81 says: recidivists and violent offenders of ten years and more never; others after half the term
    (thirteen years of a life sentence). Good conduct is taken as given."""
    if recidivist:
        return "累犯不得"
    if crime in VIOLENT and (term == LIFE or term >= 10):
        return "暴力不得"
    return "可以假释" if (served >= LIFE_MINIMUM if term == LIFE else 2 * served >= term) else "期限不足"


@task("parole")
def parole(rng: random.Random, split: Split) -> Prompt:
    """Whether parole may be granted, or why not. Held out by term and years served; answers are balanced."""
    wanted = rng.choice(("可以假释", "期限不足", "累犯不得", "暴力不得"))
    while True:
        term = rng.choice((LIFE, *range(2, 16)))
        crime = rng.choice(VIOLENT if wanted == "暴力不得" or rng.random() < 0.3 else OTHER)
        served = rng.randint(1, 20 if term == LIFE else term - 1)
        recidivist = wanted == "累犯不得"
        if decision(crime, term, served, recidivist) == wanted and split_of("parole", term, served) == split:
            break
    mark = "，系累犯" if recidivist else rng.choice(("", "，系初犯", "，无前科"))
    name = "无期" if term == LIFE else f"{term}年"
    question = phrase(rng, FRAMES, split, who=person(rng, split), crime=crime, term=name, served=served, mark=mark)
    return ask("parole", question + "假释？", wanted, "text", _reason(wanted, crime, term, served))


def _reason(answer: str, crime: str, term: int, served: int) -> str:
    if answer == "累犯不得":
        return "累犯"
    if answer == "暴力不得":
        return "暴力十年以上"
    half = f"须{LIFE_MINIMUM}" if term == LIFE else f"半数{term // 2}" + ("" if term % 2 == 0 else "半")
    kind = "暴力不满十年" if crime in VIOLENT else "非暴力"
    return f"{kind}，{half}，{served}{'满' if answer == '可以假释' else '不满'}"
