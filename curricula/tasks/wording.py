"""People, sentence frames and cases, disjoint between splits, so that a held-out question also sounds new.

A task has many training frames, with its facts in every order: with only a few, a small model learns positions in a
sentence instead of facts.
"""

import random
from collections.abc import Iterable
from typing import Any, TypeVar

from curricula.splits import Split, split_of

Case = TypeVar("Case", bound=tuple[Any, ...])

SURNAMES: dict[Split, str] = {
    "train": (
        "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦戚谢邹喻柏窦章苏潘葛奚范彭郎鲁韦昌马苗凤方俞任袁柳鲍史唐费廉岑薛雷贺倪汤滕殷罗"
        "毕郝邬安常傅皮齐康伍余顾孟黄穆萧尹"
    ),
    "dev": "尤许何吕施邓高梁夏石",
    "test": "张孔曹严华金魏陶姜",
}


def person(rng: random.Random, split: Split) -> str:
    """A name as court documents print it, such as 赵某."""
    return rng.choice(SURNAMES[split]) + "某"


def phrase(rng: random.Random, frames: dict[Split, tuple[str, ...]], split: Split, **values: object) -> str:
    """A frame of the split with its blanks filled."""
    return rng.choice(frames[split]).format(**values)


def cases_by_answer(task: str, split: Split, cases: Iterable[tuple[str, Case]]) -> dict[str, tuple[Case, ...]]:
    """The cases of a split by their answer, so that answers can be drawn equally often; each case is held out whole.

    An answer that the split has no case for is absent.
    """
    found: dict[str, list[Case]] = {}
    for answer, case in cases:
        if split_of(task, *case) == split:
            found.setdefault(answer, []).append(case)
    return {answer: tuple(rows) for answer, rows in sorted(found.items())}
