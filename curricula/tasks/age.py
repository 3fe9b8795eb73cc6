"""Age of criminal responsibility (Criminal Law, articles 17 and 17-1)."""

import random
from functools import lru_cache

from curricula.prompts import Prompt, ask
from curricula.splits import Split
from curricula.tasks.registry import task
from curricula.tasks.wording import cases_by_answer, person, phrase

ACTS = {
    "杀人": (
        "用刀刺死室友", "掐死邻居", "投毒毒死亲属", "将债主推下山崖摔死", "勒死同学", "砍死仇人", "用枪打死路人",
        "将同伴推入河中淹死", "捂死婴儿", "用棍打死保安", "割喉杀死司机", "放火烧死全家", "用锤砸死店主", "活埋债主",
    ),
    "八类": (
        "持刀抢劫行人", "劫取司机钱款", "贩卖冰毒", "出售海洛因", "放火烧毁民房", "点燃粮仓", "向水井投毒",
        "强奸妇女", "炸毁车站", "将人打成重伤", "持枪劫财", "砍人致重伤",
    ),
    "其他": (
        "盗窃电动车", "扒窃手机", "骗取老人存款", "网络诈骗", "抢夺手提包", "夺走项链", "砸毁汽车", "聚众赌博",
        "寻衅滋事", "非法拘禁他人", "敲诈同学", "打人致轻伤", "伪造证件", "窝藏赃物", "侵入他人住宅", "传播淫秽物品",
    ),
}  # fmt: skip
"""Acts by how article 17 treats them: killing; another of the eight crimes of its second paragraph; any other."""

AGES = (*range(8, 28), *range(68, 86))
"""Ages asked about, in whole years: those near the limits in the articles."""

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{who}{age}岁，{act}。",
        "被告人{who}现年{age}岁，{act}。",
        "经查，{age}岁的{who}{act}。",
        "{who}在{age}岁时{act}。",
        "{who}（现年{age}岁）被控{act}。",
        "检察机关认定，{who}{act}，时年{age}岁。",
        "当日，{age}岁的{who}{act}。",
        "据查，{who}{act}时{age}岁。",
        "{who}：{age}岁，因{act}被抓获。",
        "{act}的{who}案发时{age}岁。",
    ),
    "dev": ("{who}年满{age}岁后{act}。", "经审查：{who}，{age}岁，{act}。", "昨晚，{who}（{age}周岁）{act}。"),
    "test": ("公诉机关指控：{who}，{age}岁，{act}。", "某日，{who}（{age}岁）{act}。"),
}


def responsibility(kind: str, age: int) -> str:
    """What article 17 (as amended in 2020) and 17-1 say of an intentional act of a kind at an age in whole years.

    Killing stands for all acts of the third paragraph. Its further conditions (cruel means, approval) are only in the
    name of the answer, 核准追诉. 17-1 lets those of 75 and over be treated more leniently.
    """
    if age >= 75:
        return "可以从宽"
    if age >= 18:
        return "应当负责"
    if age >= 16 or (age >= 14 and kind != "其他"):
        return "负责从宽"
    if age >= 12 and kind == "杀人":
        return "核准追诉"
    return "不负责任"


def bracket(age: int) -> str:
    """The age bracket that the rule looks at."""
    borders = ((12, "不满12"), (14, "满12不满14"), (16, "满14不满16"), (18, "满16不满18"), (75, "成年"))
    return next((name for border, name in borders if age < border), "满75")


@lru_cache(maxsize=3)
def cases(split: Split) -> dict[str, tuple[tuple[str, str, int], ...]]:
    """(kind, act, age) of the split by the answer."""
    return cases_by_answer(
        "age",
        split,
        (
            (responsibility(kind, years), (kind, act, years))
            for kind, acts in ACTS.items()
            for act in acts
            for years in AGES
        ),
    )


@task("age")
def age(rng: random.Random, split: Split) -> Prompt:
    """Whether and how a person of an age answers for an act. Held out by act and age; answers are balanced."""
    by_answer = cases(split)
    answer = rng.choice(tuple(by_answer))
    kind, act, years = rng.choice(by_answer[answer])
    question = phrase(rng, FRAMES, split, who=person(rng, split), age=years, act=act) + "刑事责任？"
    return ask("age", question, answer, "text", f"{bracket(years)}，{kind}")
