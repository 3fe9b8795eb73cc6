"""``python -m tools.picture RUN``: what a run did, as one small picture (docs/run.png)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from rl.errors import UserError
from rl.report.charts import COLOURS, FAINT, INK, RULE
from rl.report.read import Run, Stage, read_run

WINDOW = 7
"""Steps of the moving mean."""


def picture(run: Run) -> Figure:
    """Reward and accuracy of the GRPO stages one after the other, and held-out accuracy by task.

    Raises:
        UserError: if the run has no step of a GRPO stage, or no evaluation.
    """
    stages = run.of_kind("grpo")
    if not stages or not run.results:
        raise UserError(f"{run.path} has no GRPO step or no evaluation yet, so there is nothing to draw")
    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(8.4, 2.9), dpi=110, layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _training(left, stages)
        _held_out(right, run)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(RULE)
            axes.tick_params(color=RULE, labelcolor=INK)
            axes.grid(axis="y", color=RULE, linewidth=0.6)
            axes.legend(frameon=False, fontsize=7)
    return figure


def _training(axes: Axes, stages: Sequence[Stage]) -> None:
    start = 0
    for stage in stages:
        for colour, (metric, label) in zip(COLOURS, LINES.items(), strict=False):
            steps, values = stage.series(metric)
            x = [start + step for step in steps]
            axes.plot(x, values, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(x, _smooth(values), color=colour, linewidth=1.6, label=label if start == 0 else None)
        axes.axvline(start, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.text(start + 1, 1.13, stage.name, color=INK, va="top")
        start += len(stage.lines)
    axes.set_ylim(0, 1.15)
    axes.set_xlabel("steps of the GRPO stages")
    axes.set_title("Reward while training", loc="left", color=INK)


LINES = {"reward": "reward", "reward/accuracy": "right answers", "reward/format": "right form"}
"""What is drawn of a step, with its name in the legend."""


def _held_out(axes: Axes, run: Run) -> None:
    split = run.results[-1].split
    results = [result for result in run.results if result.split == split]
    for colour, task in zip(COLOURS[3:], results[-1].per_task, strict=False):
        points = [(place, one.metrics[f"accuracy/{task}"]) for place, one in enumerate(results) if task in one.per_task]
        axes.plot(*zip(*points, strict=True), "o-", color=colour, markersize=3, linewidth=0.9, label=task)
    axes.plot([one.average for one in results], "o-", color=INK, markersize=4, linewidth=2, label="average")
    axes.set_xticks(range(len(results)), [one.after for one in results], rotation=15)
    axes.set_ylim(0, 1.15)
    axes.set_title(f"Held-out accuracy ({split}), after each stage", loc="left", color=INK)


def _smooth(values: Sequence[float]) -> list[float]:
    half = WINDOW // 2
    near = [values[max(0, place - half) : place + half + 1] for place in range(len(values))]
    return [sum(some) / len(some) for some in near]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture and print its path; 2 if the folder holds no run to draw."""
    parser = argparse.ArgumentParser(prog="python -m tools.picture", description="Draw a run as one small picture.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--out", type=Path, default=Path("run.png"), help="file: .png or .svg")
    chosen = parser.parse_args(argv)
    try:
        picture(read_run(chosen.run)).savefig(chosen.out)
    except UserError as error:
        Console(stderr=True).print(f"[bold red]error:[/bold red] {error}", soft_wrap=True)
        return 2
    print(chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
