"""A task's score from a metric of one question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rewards.parsing import LONGEST, final_answer
from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.language import Text

Scored = tuple[float, bool] | None
"""(score, whether the model abstained). A score of None leaves the question out."""
Metric = Callable[[str, Any], Scored]
"""(prediction, reference) -> score."""


class Unscorable(UserError):
    """A task can't be scored with the present files and packages."""


def require_references(benchmark: Benchmark, task: str, questions: Sequence[Question], where: Path | str) -> None:
    """Check that there is something to compare answers with, so that none is 0 for the want of it.

    Raises:
        Unscorable: naming the first question without a reference and how many there are; where the authors themselves
            leave some without one, if all are.
    """
    bare = [one.id for one in questions if one.reference is None or one.reference == ""]
    if bare and (len(bare) == len(questions) or not benchmark.unanswered):
        raise Unscorable(
            Text(
                "{where}: {bare} of {n} questions of {title}, task {task}, have no reference (the first is {first}); "
                "give the file that holds the right answers with --data",
                where=where,
                bare=len(bare),
                n=len(questions),
                title=benchmark.title,
                task=task,
                first=bare[0],
            )
        )


T = TypeVar("T")


def answered(prediction: str) -> str:
    """The answer in a prediction, without the reasoning; empty if there is no answer. A document longer than the
    parsers' limit is taken whole."""
    rest = prediction.rpartition("</think>")[2].partition("<think>")[0]
    if len(rest) > LONGEST and "answer>" not in rest:
        return rest.strip()
    return final_answer(rest) or ""


def tried(read: Callable[[str], T], text: str, otherwise: T) -> T:
    """What ``read`` finds in a text; ``otherwise`` if reading takes too long, as with a hostile text."""
    try:
        return read(text)
    except TimeoutError:
        return otherwise


def mean(numbers: Sequence[float]) -> float:
    """Arithmetic mean; 0 for no numbers."""
    return sum(numbers) / max(1, len(numbers))


def score_each(
    questions: Sequence[Question],
    predictions: Sequence[str],
    upstream: Metric,
    fixed: Metric | None = None,
    abstains: bool = True,
    further: Callable[[Sequence[QuestionScore]], Mapping[str, float]] | None = None,
) -> TaskScore:
    """Means over the questions: ``upstream`` scores the whole predictions, ``fixed`` only the answers in them.

    Without ``fixed``, the published metric scores the answers. Questions that the published metric leaves out count
    only for the abstention rate, as in LawBench.

    Raises:
        UserError: naming the question, if its reference is not of the task's form.
    """
    if len(questions) != len(predictions):
        raise ValueError(f"{len(questions)} questions and {len(predictions)} predictions")
    scores, abstained = [], 0
    for question, prediction in zip(questions, predictions, strict=True):
        found, answer = _scored(upstream, question, prediction), answered(prediction)
        same = fixed is None and answer == prediction  # most are nothing but an answer
        corrected = found if same else _scored(fixed or upstream, question, answer)
        if found is not None:
            scores.append(QuestionScore(question.id, found[0], found[1], None if corrected is None else corrected[0]))
            abstained += found[1]
    return TaskScore(
        score=mean([one.score for one in scores]),
        abstention_rate=abstained / max(1, len(questions)) if abstains else 0.0,
        fixed=mean([one.fixed for one in scores if one.fixed is not None]),
        per_question=tuple(scores),
        further=dict(further(scores)) if further else {},
    )


def _scored(metric: Metric, question: Question, prediction: str) -> Scored:
    try:
        return metric(prediction, question.reference)
    except TimeoutError:  # a prediction that takes too long to read scores 0
        return 0.0, True
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"question {question.id}: {error}") from None
