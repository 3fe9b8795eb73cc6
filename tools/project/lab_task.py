"""A task of your own: questions with their answers, as many as a run asks for."""

import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of

PERIODS = {"判决书": 10, "裁定书": 5}
"""Days to appeal against a criminal judgment and a ruling, from the second day on (Criminal Procedure Law)."""


def appeal(rng: random.Random, split: Split) -> Prompt:
    """The last day to appeal, from the day on which the decision was received. Held out by date and kind."""
    while True:
        kind, month, day = rng.choice(sorted(PERIODS)), rng.randint(1, 12), rng.randint(1, 18)
        if split_of("appeal", kind, month, day) == split:  # no question of the test is trained on
            break
    days = PERIODS[kind]
    think = f"{kind}，上诉期限{days}日，从第二日起算，{day}+{days}={day + days}"
    question = f"被告人{month}月{day}日收到一审刑事{kind}，上诉期限到几日为止？"
    return ask("appeal", question, f"{day + days}日", "number", think)
