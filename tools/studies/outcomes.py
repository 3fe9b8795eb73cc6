"""What the runs of a study came to: accuracy before and after, as a table, a sentence and a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from rl.records.results import EvalResult


@dataclass(frozen=True)
class Outcome:
    """Accuracy of one run on the test split, before and after the studied stages."""

    variant: str
    seed: int
    before: EvalResult
    after: EvalResult

    @property
    def gain(self) -> float:
        """Gain of the average accuracy (points)."""
        return 100 * (self.after.average - self.before.average)


def over_seeds(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and half of its 95 % interval by Student's t (None for one value)."""
    if len(values) < 2:
        return statistics.fmean(values), None
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), float(half)


def spread(values: Sequence[float]) -> str:
    """Mean over seeds, with its 95 % interval where there are several."""
    mean, half = over_seeds(values)
    return f"{mean:+.1f}" + ("" if half is None else f" ± {half:.1f} (95 %, Student's t)")


def table(found: Sequence[Outcome]) -> Table:
    """A row for each run: averages with intervals, the gain, and every task before → after; and one for the majority
    answers."""
    tasks = list(found[0].after.per_task)
    rows = Table(title="Accuracy on the test split (%), before → after", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("variant", "seed", "average", "gain", "format", *tasks):
        rows.add_column(column, justify="left" if column == "variant" else "right")
    for outcome in found:
        before, after = outcome.before, outcome.after
        rows.add_row(
            outcome.variant,
            str(outcome.seed),
            f"{shown(before)} → {shown(after)}",
            f"{outcome.gain:+.1f}",
            f"{100 * before.metrics['format']:.0f} → {100 * after.metrics['format']:.0f}",
            *(f"{percent(before, task):.1f} → {percent(after, task):.1f}" for task in tasks),
        )
    majority = found[0].after.majority
    rows.add_section()
    mean = 100 * statistics.fmean(majority.values())
    rows.add_row(
        "majority answer", "", f"{mean:.1f}", "", "", *(f"{100 * majority[t]:.1f}" for t in tasks), style="dim"
    )
    return rows


def shown(result: EvalResult) -> str:
    """The average accuracy with its interval (percent)."""
    low, high = result.interval
    return f"{100 * result.average:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def percent(result: EvalResult, task: str) -> float:
    """Accuracy of one task (percent)."""
    counts = result.per_task[task]
    return 100 * counts["correct"] / counts["n"]


def summary(found: Sequence[Outcome]) -> str:
    """Mean gains over seeds, and whether the intervals of every run of the whole curriculum are apart."""
    sentences = []
    for variant in dict.fromkeys(outcome.variant for outcome in found):
        gains = [outcome.gain for outcome in found if outcome.variant == variant]
        sentences.append(f"{variant}: {spread(gains)} points over {len(gains)} seeds")
    apart = [o.before.interval[1] < o.after.interval[0] for o in found if o.variant == "whole"]
    sentences.append(f"before and after of the whole have intervals apart in {sum(apart)} of {len(apart)} runs")
    return "; ".join(sentences)


def plot_gain(found: Sequence[Outcome], path: Path) -> None:
    """Average accuracy before and after, one arrow for each run, with 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.45 * len(found)), layout="constrained")
    axes = figure.subplots()
    for place, outcome in enumerate(found):
        for result, colour in ((outcome.before, "tab:gray"), (outcome.after, "tab:blue")):
            low, high = (100 * border for border in result.interval)
            axes.plot((low, high), (place, place), color=colour, linewidth=2)
            axes.plot(100 * result.average, place, "o", color=colour, markersize=5)
        axes.annotate(f"{outcome.gain:+.1f}", (100 * outcome.after.average, place - 0.28), ha="center", fontsize=8)
    majority = 100 * statistics.fmean(found[0].after.majority.values())
    axes.axvline(majority, color="tab:red", linestyle=":", label="majority answer")
    axes.set_yticks(range(len(found)), [f"{o.variant}, seed {o.seed}" for o in found])
    axes.set_ylim(len(found) - 0.5, -0.7)
    axes.set_xlabel("average accuracy on the test split (%): grey after SFT, blue at the end")
    axes.legend(loc="upper left")
    figure.savefig(path)
