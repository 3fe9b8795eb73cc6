"""How the figures of a benchmark's task are put into words, for tables in a terminal and for pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, FiniteFloat, NonNegativeInt
from typing_extensions import TypedDict

from rl.files import read_json
from rl.language import Text


class _Judge(TypedDict):
    score: FiniteFloat | None
    interval: tuple[FiniteFloat, FiniteFloat] | None
    parts: dict[str, FiniteFloat]
    n: NonNegativeInt
    errored: NonNegativeInt


class TaskFigures(TypedDict):
    """What is kept of a task's score, in scores.json and benchmarks.json."""

    title: str
    n: NonNegativeInt
    score: FiniteFloat | None
    interval: tuple[FiniteFloat, FiniteFloat] | None
    fixed: FiniteFloat | None
    abstention_rate: FiniteFloat | None
    further: dict[str, FiniteFloat]
    contaminated: str | None
    too_long: NonNegativeInt
    shots_left_out: NonNegativeInt
    truncated: NonNegativeInt
    problem: NotRequired[str]
    judge: NotRequired[_Judge]


def _whole(found: TaskFigures) -> TaskFigures:
    if (found["score"] is None) != (found["fixed"] is None):
        raise ValueError("one of score and fixed is missing")
    return found


class StageFigures(TaskFigures):
    """One entry of benchmarks.json."""

    stage: str
    after: str
    benchmark: str
    task: str


class Scores(TypedDict):
    """What scores.json holds."""

    benchmark: str
    title: str
    model: str
    shots: NotRequired[NonNegativeInt]
    samples: NotRequired[NonNegativeInt]
    temperature: NotRequired[FiniteFloat]
    tasks: dict[str, Annotated[TaskFigures, AfterValidator(_whole)]]
    average: FiniteFloat | None
    average_fixed: FiniteFloat | None


def read_scores(folder: Path) -> dict[str, Any]:
    """scores.json of an evaluation's folder.

    Raises:
        UserError: if it is missing or damaged.
    """
    scores: dict[str, Any] = read_json(
        folder / "scores.json", Scores, "remove it and run the evaluation again, which keeps its answers"
    )
    return scores


def stage_figures(run_dir: Path) -> list[dict[str, Any]]:
    """benchmarks.json of a run folder; nothing if there is none.

    Raises:
        UserError: if it is damaged.
    """
    path = run_dir / "benchmarks.json"
    figures: list[dict[str, Any]] = read_json(path, list[StageFigures]) if path.is_file() else []
    return figures


def percent(value: float | None) -> str:
    """A share in percent, without its sign; empty for None."""
    return "" if value is None else f"{100 * value:.1f}"


def between(interval: Sequence[float] | None) -> str:
    """An interval in percent; empty for None."""
    return "" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def notes(task: Mapping[str, Any]) -> list[str]:
    """What a reader of a task's score must know. ``task`` is its record in scores.json or benchmarks.json."""
    found: list[str] = [task["problem"]] if "problem" in task else []
    found += [Text("contains {what}", what=task["contaminated"])] if task["contaminated"] else []
    if task["too_long"]:
        found.append(Text("{n} too long to be asked", n=task["too_long"]))
    if task["shots_left_out"]:
        found.append(Text("{n} asked with fewer examples", n=task["shots_left_out"]))
    if task["truncated"] == 1:
        found.append(Text("1 answer cut off"))
    elif task["truncated"]:
        found.append(Text("{n} answers cut off", n=task["truncated"]))
    errored = task.get("judge", {}).get("errored", 0)
    return found + ([Text("{n} verdicts errored", n=errored)] if errored else [])
