"""Pairs of answers to the same question, in an order that hides which run each is from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from rl.errors import UserError
from rl.evaluation.reading import readable
from rl.evaluation.web.run_folders import Answered, EvaluationRun, answered
from rl.language import Text


@dataclass(frozen=True)
class Pair:
    """One question with two runs' answers, as a reviewer sees it."""

    first: str
    second: str
    """Names of the runs; ``first`` < ``second``."""
    reviewer: str
    question: Answered
    """With the first run's answer."""
    other: Answered
    """The same question with the second run's answer."""
    place: int
    """Number of the pair, from 1."""
    total: int
    identical: int
    """Questions that are no pair, because both answers read the same."""

    @property
    def key(self) -> tuple[str, str]:
        """(task, question)."""
        return self.question.task, self.question.id

    @property
    def swapped(self) -> bool:
        """Whether the second run's answer is A: a coin toss that falls the same way when the page is opened again."""
        parts = "\x1f".join((self.first, self.second, self.reviewer, *self.key))
        return bool(hashlib.sha256(parts.encode()).digest()[0] & 1)

    @property
    def sides(self) -> tuple[Answered, Answered]:
        """(A, B)."""
        return (self.other, self.question) if self.swapped else (self.question, self.other)


def pairs(a: EvaluationRun, b: EvaluationRun, reviewer: str) -> list[Pair]:
    """Every question that both runs answered from the same prompt, and not in the same words.

    Raises:
        UserError: if both runs are the same, they share no question, all their answers read the same, or a file is
            damaged.
    """
    if a.name == b.name:
        raise UserError(Text("a review needs two different runs; choose another one"))
    one, two = sorted((a, b), key=lambda run: run.name)
    names = {"first": one.name, "second": two.name}
    if one.head["benchmark"] != two.head["benchmark"]:
        raise UserError(Text("{first} and {second} are runs of different benchmarks; choose two of the same", **names))
    shared = []
    for task in (task for task in one.tasks if task in two.tasks):
        others = {other.id: other for other in answered(two, task)}
        for question in answered(one, task):
            other = others.get(question.id)
            if other and question.answers and other.answers and question.prompt == other.prompt:
                shared.append((question, other))
    if not shared:
        raise UserError(
            Text("{first} and {second} share no answered question; choose two runs of the same tasks", **names)
        )
    differ = [both for both in shared if len({readable(side.answers[0]).text for side in both}) > 1]
    if not differ:
        raise UserError(Text("all answers of {first} and {second} read the same: there is nothing to review", **names))
    return [
        Pair(one.name, two.name, reviewer, question, other, place, len(differ), len(shared) - len(differ))
        for place, (question, other) in enumerate(differ, 1)
    ]
