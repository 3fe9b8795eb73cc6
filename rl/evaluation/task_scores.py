"""Scores of a run of a benchmark: each task with its interval, and the table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.judging import Marks
from rl.evaluation.on_disk import Lazily
from rl.inference.backend import Answer
from rl.inference.json_lines import write_lines
from rl.inference.thinking import prediction
from rl.language import Lang, Text, sayer
from rl.records.task_figures import between, notes, percent


@dataclass
class Tally:
    """What is counted over the answers of a task."""

    answered: int = 0
    """Questions with answers."""
    samples: int = 0
    """Most answers of a question."""
    truncated: int = 0
    completion_tokens: int = 0

    @staticmethod
    def of(answers: Mapping[str, Sequence[Answer]]) -> Tally:
        """The tally of answers by question, which are looked at one after the other."""
        found = Tally(answered=len(answers))
        for some in answers.values():
            found.samples = max(found.samples, len(some))
            found.truncated += sum(answer.truncated for answer in some)
            found.completion_tokens += sum(answer.completion_tokens for answer in some)
        return found


def score(
    benchmark: Benchmark,
    task: str,
    questions: Sequence[Question],
    answers: Mapping[str, Sequence[Answer]],
    samples: int,
) -> TaskScore:
    """Scores of a task; with several samples of each question, their mean. A question without an answer (it was too
    long) counts as an empty answer."""
    given = (predictions(questions, answers, sample) for sample in range(max(1, samples)))
    found = [benchmark.score(task, questions, texts) for texts in given]
    return found[0] if len(found) == 1 else _mean(found)


def predictions(
    questions: Sequence[Question], answers: Mapping[str, Sequence[Answer]], sample: int = 0
) -> Sequence[str]:
    """The text of each answer that is scored, in the order of the questions; made when it is asked for."""

    def text(place: int) -> str:
        name = questions[place].id
        return prediction(answers[name][sample].text) if name in answers else ""

    return Lazily(text, len(questions))


def _mean(found: Sequence[TaskScore]) -> TaskScore:
    each: dict[str, list[QuestionScore]] = {}
    for one in found:
        for question in one.per_question:
            each.setdefault(question.id, []).append(question)

    def over(values: Sequence[float | None]) -> float | None:
        present = [value for value in values if value is not None]
        return statistics.fmean(present) if present else None

    return TaskScore(
        score=statistics.fmean(one.score for one in found),
        abstention_rate=statistics.fmean(one.abstention_rate for one in found),
        fixed=statistics.fmean(one.fixed for one in found),
        per_question=tuple(
            QuestionScore(
                name,
                statistics.fmean(one.score for one in scores),
                all(one.abstained for one in scores),
                over([one.fixed for one in scores]),
            )
            for name, scores in each.items()
        ),
        further={name: statistics.fmean(one.further[name] for one in found) for name in found[0].further},
    )


def interval_of(scores: Sequence[float], mean: float | None = None) -> tuple[float, float] | None:
    """95 % interval of a mean; None without scores, or where ``mean`` is not the mean of these scores."""
    from rl.evaluation.statistics import interval

    if not scores or (mean is not None and not math.isclose(statistics.fmean(scores), mean, abs_tol=1e-9)):
        return None
    return interval(scores)


def as_json(benchmark: Benchmark, task: str, found: TaskScore, tally: Tally, marks: Marks | None) -> dict[str, Any]:
    """A task's figures in the form of scores.json."""
    record: dict[str, Any] = {
        "score": found.score,
        "interval": interval_of([one.score for one in found.per_question], found.score),
        "fixed": found.fixed,
        "abstention_rate": found.abstention_rate,
        "further": found.further,
    }
    if marks is not None:
        record["judge"] = marks.to_json() | {"interval": interval_of(marks.scores)}
    return record | _about(benchmark, task, tally)


def unscored(benchmark: Benchmark, task: str, tally: Tally, problem: str) -> dict[str, Any]:
    """The same for a task that can't be scored here."""
    none = dict.fromkeys(("score", "interval", "fixed", "abstention_rate"))
    return {**none, "further": {}, "problem": problem, **_about(benchmark, task, tally)}


def _about(benchmark: Benchmark, task: str, tally: Tally) -> dict[str, Any]:
    return {
        "title": benchmark.tasks[task],
        "contaminated": benchmark.contaminated.get(task),
        "answered": tally.answered,
        "truncated": tally.truncated,
        "completion_tokens": tally.completion_tokens,
    }


def save_answers(
    path: Path,
    questions: Sequence[Question],
    answers: Mapping[str, Sequence[Answer]],
    found: TaskScore,
    marks: Marks | None,
) -> None:
    """Write prediction, reference and score of each question, one question a line."""
    scores = {one.id: one for one in found.per_question}

    def rows() -> Iterator[dict[str, Any]]:
        for place, (question, given) in enumerate(zip(questions, predictions(questions, answers), strict=True)):
            one = scores.get(question.id)
            row: dict[str, Any] = {
                "id": question.id,
                "prediction": given,
                "reference": question.reference,
                "facets": question.facets,
                "score": one.score if one else None,
                "fixed": one.fixed if one else None,
                "abstained": one.abstained if one else None,
            }
            yield row if marks is None else {**row, "verdict": marks.verdicts[place].to_json()}

    write_lines(path, rows())


def table(scores: Mapping[str, Any], lang: Lang = "en") -> Table:
    """The tasks of a scores.json, in percent with 95 % intervals."""
    tasks: dict[str, dict[str, Any]] = scores["tasks"]
    t = sayer(lang)
    title = t("{benchmark}: {model} (%, 95 % interval)", benchmark=scores["title"], model=scores["model"])
    shown = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    judged = any("judge" in task for task in tasks.values())
    texts, figures = (t("task"), "", t("note")), (t("score"), t("interval"), t("fixed"), t("abstained"))
    for name in (*texts[:2], "n", *figures, *((t("judge"),) if judged else ()), texts[2]):
        shown.add_column(name, justify="left" if name in texts else "right", no_wrap=name == texts[0])
    for name, task in tasks.items():
        row = [
            name, task["title"], str(task["n"]), percent(task["score"]), between(task["interval"]),
            percent(task["fixed"]), percent(task["abstention_rate"]),
        ]  # fmt: skip
        shown.add_row(*row, *([t(judged_cell(task))] if judged else ()), "; ".join(map(t, notes(task))))
    shown.add_section()
    shown.add_row(
        t("average"), t("{n} tasks", n=len(tasks)), "", percent(scores["average"]), "", percent(scores["average_fixed"])
    )
    return shown


def judged_cell(task: Mapping[str, Any]) -> str:
    """The judge's mark of a task in percent."""
    found = task.get("judge")
    return "" if found is None else percent(found["score"]) or Text("none")
