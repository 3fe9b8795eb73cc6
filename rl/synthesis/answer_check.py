"""The answer check of Unilaw-R1-Data: an answer to a choice question counts if it chooses exactly the right options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from curricula.errors import DataError
from rewards.parsing import choice_letters, final_answer, find_choice

Outcome = Literal["matched", "unmatched", "unreadable"]


@dataclass(frozen=True)
class CheckedAnswer:
    """What a completion chooses, and what it should."""

    outcome: Outcome
    """``unreadable`` where it has no final answer or the answer chooses no option; it is not wrong by that."""
    chosen: frozenset[str] | None
    right: frozenset[str]


def right_options(gold: str | Sequence[str]) -> frozenset[str]:
    """The letters of a question's answer: AB, "A、B", ["A", "B"].

    Raises:
        DataError: if it holds none, or something else.
    """
    letters = choice_letters("".join(gold))
    if not letters:
        raise DataError(f"the answer {gold!r} is no set of option letters; leave the question out or correct it")
    return letters


def check_answer(completion: str, gold: str | Sequence[str]) -> CheckedAnswer:
    """Compare the options that a completion chooses with the right ones, as sets (Zhong et al. 2020; the paper's exact
    match). The reasoning before the final answer does not count.

    Raises:
        DataError: if ``gold`` is no set of option letters.
    """
    right = right_options(gold)
    answer = final_answer(completion)
    chosen = None if answer is None else find_choice(answer)
    outcome: Outcome = "unreadable" if chosen is None else "matched" if chosen == right else "unmatched"
    return CheckedAnswer(outcome, chosen, right)
