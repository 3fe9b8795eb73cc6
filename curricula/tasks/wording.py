"""People and sentence frames, disjoint between splits, so that a held-out question also sounds new."""

import random

from curricula.splits import Split

SURNAMES: dict[Split, str] = {
    "train": "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦",
    "dev": "尤许何吕施",
    "test": "张孔曹严华金魏陶姜",
}


def person(rng: random.Random, split: Split) -> str:
    """A name as court documents print it, such as 赵某."""
    return rng.choice(SURNAMES[split]) + "某"


def phrase(rng: random.Random, frames: dict[Split, tuple[str, ...]], split: Split, **values: object) -> str:
    """A frame of the split with its blanks filled."""
    return rng.choice(frames[split]).format(**values)
