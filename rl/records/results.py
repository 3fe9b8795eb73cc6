"""Results of evaluations: intervals and the table at the end of a run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, FiniteFloat, NonNegativeFloat
from rich import box
from rich.table import Table
from typing_extensions import TypedDict

from rl.files import read_json, write_json


class _Figures(TypedDict):
    correct: NonNegativeFloat
    n: NonNegativeFloat
    format: FiniteFloat
    errors: FiniteFloat


def _share(found: _Figures) -> _Figures:
    if not found["correct"] <= found["n"] < math.inf:
        raise ValueError(f"{found['correct']:g} of {found['n']:g} are correct")
    return found


class _Stored(TypedDict):
    """An :class:`EvalResult` in results.json."""

    stage: str
    after: str
    split: str
    per_task: dict[str, Annotated[_Figures, AfterValidator(_share)]]
    majority: dict[str, FiniteFloat]


@dataclass(frozen=True)
class EvalResult:
    """What one evaluation stage found."""

    stage: str
    after: str
    """Training stage whose policy was evaluated; ``base`` before any training."""
    split: str
    per_task: dict[str, dict[str, float]]
    """For each task: ``correct``, ``n``, ``format`` (share in [0, 1]) and ``errors`` (verdicts that failed)."""
    majority: dict[str, float]
    """For each task the accuracy of always giving its most frequent answer."""

    @property
    def average(self) -> float:
        """Mean accuracy over the tasks."""
        return sum(t["correct"] / max(1, t["n"]) for t in self.per_task.values()) / max(1, len(self.per_task))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of :attr:`average`: the tasks' Wilson intervals combined (MOVER, Zou and Donner 2008)."""
        below = above = 0.0
        for task in self.per_task.values():
            share, (low, high) = task["correct"] / max(1, task["n"]), wilson(task["correct"], task["n"])
            below, above = below + (share - low) ** 2, above + (high - share) ** 2
        n = max(1, len(self.per_task))
        return self.average - math.sqrt(below) / n, self.average + math.sqrt(above) / n

    @property
    def metrics(self) -> dict[str, float]:
        """``accuracy`` (average), ``format`` (average) and ``accuracy/<task>``, as gates name them."""
        tasks = self.per_task.items()
        return {
            "accuracy": self.average,
            "format": sum(found["format"] for _, found in tasks) / max(1, len(tasks)),
            **{f"accuracy/{task}": found["correct"] / max(1, found["n"]) for task, found in tasks},
        }


def wilson(correct: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a share (95 % for z = 1.96; Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    share, spread = correct / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def table(results: list[EvalResult]) -> Table:
    """Accuracy in percent with 95 % intervals: one row an evaluation, one column a task."""
    tasks = list(dict.fromkeys(task for result in results for task in result.per_task))
    shown = Table(title="Held-out accuracy (%, 95 % interval)", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("after", no_wrap=True)
    shown.add_column("split")
    for task in tasks:
        shown.add_column(task.replace("_", "\n"), justify="right")
    shown.add_column("average", justify="right", style="bold")
    shown.add_column("format", justify="right")
    for result in results:
        cells = [_cell(result.per_task.get(task)) for task in tasks]
        forms = [t["format"] for t in result.per_task.values()]
        shown.add_row(
            result.after,
            result.split,
            *cells,
            f"{100 * result.average:.1f}",
            f"{100 * sum(forms) / max(1, len(forms)):.0f}",
        )
    if results:
        last = results[-1]
        baselines = [f"{100 * last.majority[task]:.1f}" if task in last.majority else "" for task in tasks]
        mean = sum(last.majority.values()) / max(1, len(last.majority))
        shown.add_section()
        shown.add_row("majority answer", last.split, *baselines, f"{100 * mean:.1f}", "", style="dim")
    return shown


def _cell(task: dict[str, float] | None) -> str:
    if task is None:
        return ""
    low, high = wilson(task["correct"], task["n"])
    return f"{100 * task['correct'] / max(1, task['n']):.1f}\n{100 * low:.0f}–{100 * high:.0f}"


def save(path: Path, result: EvalResult) -> None:
    """Add a result to a results file, replacing an earlier one of the same stage."""
    kept = [found for found in read(path) if found.stage != result.stage]
    write_json(path, [asdict(found) for found in [*kept, result]])


def read(path: Path) -> list[EvalResult]:
    """The results in a file, in the order in which they were found; none if there is no file.

    Raises:
        UserError: if the file is damaged.
    """
    if not path.is_file():
        return []
    names = _Stored.__annotations__
    return [EvalResult(**{name: found[name] for name in names}) for found in read_json(path, list[_Stored])]
