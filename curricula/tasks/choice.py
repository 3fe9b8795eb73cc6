"""Multiple-choice questions on which chapter of the Criminal Law a crime belongs to."""

import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.tasks.registry import task

CHAPTERS = {
    "危害公共安全": {
        "放火罪": 114,
        "爆炸罪": 114,
        "劫持航空器罪": 121,
        "交通肇事罪": 133,
        "破坏交通工具罪": 116,
        "劫持汽车罪": 122,
    },
    "侵犯人身": {
        "故意杀人罪": 232,
        "故意伤害罪": 234,
        "强奸罪": 236,
        "非法拘禁罪": 238,
        "绑架罪": 239,
        "诬告陷害罪": 243,
    },
    "侵犯财产": {"抢劫罪": 263, "盗窃罪": 264, "诈骗罪": 266, "抢夺罪": 267, "敲诈勒索罪": 274, "职务侵占罪": 271},
    "贪污贿赂": {"贪污罪": 382, "挪用公款罪": 384, "受贿罪": 385, "行贿罪": 389, "单位受贿罪": 387, "介绍贿赂罪": 392},
    "妨害管理": {"妨害公务罪": 277, "招摇撞骗罪": 279, "寻衅滋事罪": 293, "赌博罪": 303, "伪证罪": 305, "窝藏罪": 310},
}
"""Crimes and their articles by chapter of the special part (shortened names)."""
LETTERS = "ABCD"


def _question(rng: random.Random, split: Split, name: str, right_counts: tuple[int, ...]) -> Prompt:
    while True:
        chapter = rng.choice(tuple(CHAPTERS))
        right = rng.sample(tuple(CHAPTERS[chapter]), rng.choice(right_counts))
        others = [crime for other, crimes in CHAPTERS.items() if other != chapter for crime in crimes]
        options = right + rng.sample(others, len(LETTERS) - len(right))
        if split_of(name, chapter, *sorted(options)) == split:
            break
    rng.shuffle(options)
    answer = "".join(letter for letter, crime in zip(LETTERS, options, strict=True) if crime in right)
    listed = "".join(f"{letter}{crime}" for letter, crime in zip(LETTERS, options, strict=True))
    kind = "哪项" if max(right_counts) == 1 else "哪些"
    return ask(name, f"{kind}属于{chapter}罪？{listed}", answer, "choice", "、".join(sorted(right, key=options.index)))


@task("choice_single")
def choice_single(rng: random.Random, split: Split) -> Prompt:
    """Which one of four crimes belongs to a chapter. Held out by the set of options."""
    return _question(rng, split, "choice_single", (1,))


@task("choice_multi")
def choice_multi(rng: random.Random, split: Split) -> Prompt:
    """Which of four crimes belong to a chapter, one to three of them. Held out by the set of options."""
    return _question(rng, split, "choice_multi", (1, 2, 3))
