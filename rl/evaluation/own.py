"""The held-out questions of our own tasks as a benchmark. It needs no data except the statutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from curricula.tasks import TASKS, find_task, make_prompts
from rewards.parsing import final_answer
from rewards.rules.accuracy import agrees
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore

NAME = "held_out"
QUESTIONS = 400
"""Most questions of a task."""
EVALUATION_SEED = 20_240_101
"""Held-out questions are the same for every run, so that runs can be compared."""


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Questions of the test split; worked examples come from the training split. ``folder`` is not used.

    Raises:
        DataError: if there is no such task.
    """
    find_task(task)
    examples = make_prompts(task, "train", shots, EVALUATION_SEED, fewer_ok=True) if shots else []
    shown = tuple((one.messages[-1]["content"], one.demonstration or one.reference) for one in examples)
    return [
        Question(
            id=prompt.uid,
            prompt=prompt.messages[-1]["content"],
            reference=prompt.reference,
            shots=shown,
            facets={"answer_kind": prompt.answer_kind},
        )
        for prompt in make_prompts(task, "test", QUESTIONS, EVALUATION_SEED, fewer_ok=True)
    ]


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """Share of answers that agree with the reference."""
    each = []
    for question, prediction in zip(questions, predictions, strict=True):
        answer = final_answer(prediction) or ""
        right = agrees(answer, question.reference, question.facets["answer_kind"])
        each.append(QuestionScore(question.id, float(right), abstained=not answer))
    count = max(1, len(each))
    mean = sum(one.score for one in each) / count
    return TaskScore(mean, sum(one.abstained for one in each) / count, mean, tuple(each))


BENCHMARK = Benchmark(
    name=NAME,
    title="Held-out questions of Themis",
    source="made from the statutes by curricula.tasks",
    tasks={name: name.replace("_", " ") for name in TASKS},
    read=read,
    score=score,
)


def with_tasks(names: Sequence[str]) -> Benchmark:
    """The benchmark with those tasks besides that are ``module:function``."""
    return replace(BENCHMARK, tasks=BENCHMARK.tasks | {name: name for name in names if ":" in name})
