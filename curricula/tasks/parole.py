"""Parole (Criminal Law, article 81)."""

import random
from functools import lru_cache

from curricula.prompts import Prompt, ask
from curricula.splits import Split
from curricula.tasks.registry import task
from curricula.tasks.wording import cases_by_answer, person, phrase

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
        "{who}（{crime}罪，{term}）已执行{served}年{mark}。",
        "服刑{served}年的{who}原犯{crime}罪，刑期{term}{mark}。",
        "据查，{who}犯{crime}罪被处{term}，现服刑{served}年{mark}。",
        "监狱报告：{who}因{crime}获刑{term}，服刑{served}年{mark}。",
        "因{crime}罪入狱的{who}，刑期{term}，已过{served}年{mark}。",
        "法院以{crime}罪判{who}{term}，现已执行{served}年{mark}。",
    ),
    "dev": (
        "{who}因{crime}罪判{term}，实际执行{served}年{mark}。",
        "经审查，{who}服刑已{served}年，系{crime}罪，刑期{term}{mark}。",
        "某犯{who}：{crime}罪，{term}，执行{served}年{mark}。",
    ),
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


@lru_cache(maxsize=3)
def cases(split: Split) -> dict[str, tuple[tuple[int, int], ...]]:
    """(term, years served) of the split by the answers that some crime gives them."""
    terms = [(LIFE, served) for served in range(1, 26)] + [(t, s) for t in range(2, 16) for s in range(1, t)]
    answers = {
        (decision(crime, term, served, recidivist), (term, served))
        for term, served in terms
        for crime in VIOLENT + OTHER
        for recidivist in (False, True)
    }
    return cases_by_answer("parole", split, sorted(answers))


@task("parole")
def parole(rng: random.Random, split: Split) -> Prompt:
    """Whether parole may be granted, or why not. Held out by term and years served; answers are balanced."""
    by_answer = cases(split)
    wanted = rng.choice(tuple(by_answer))
    term, served = rng.choice(by_answer[wanted])
    recidivist = wanted == "累犯不得"
    crime = rng.choice([c for c in VIOLENT + OTHER if decision(c, term, served, recidivist) == wanted])
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
