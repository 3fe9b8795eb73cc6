"""Tables and bars of the page, as plain values that the templates lay out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rl.config.metrics import PHASES, SUMMARIES
from rl.language import Lang, Text
from rl.records.results import EvalResult, wilson
from rl.records.task_figures import notes
from rl.report.charts import COLOURS, Chart, Estimate, histogram, interval_chart
from rl.report.read import Run, Stage

DRIVER = "driver"
MEANINGS = {metric.name: metric.meaning for metric in PHASES} | {
    f"time/{DRIVER}": Text("what is left: the driver itself")
}
NO_PHASES = {metric.name for metric in SUMMARIES}


@dataclass(frozen=True)
class TableCell:
    """Accuracy of one task in one evaluation, in percent, beside what the majority answer gets."""

    value: float
    low: float
    high: float
    verdict: str
    """``above`` or ``below`` the majority answer with its whole interval, else empty."""


def cell(task: dict[str, float] | None, majority: float | None) -> TableCell | None:
    """The cell of a task; None where the evaluation has not asked it."""
    if task is None:
        return None
    low, high = wilson(task["correct"], task["n"])
    return share_cell(task["correct"] / max(1, task["n"]), low, high, majority)


def share_cell(value: float, low: float, high: float, majority: float | None) -> TableCell:
    """The cell of a share with its interval, all in [0, 1]."""
    verdict = "" if majority is None else "above" if low > majority else "below" if high < majority else ""
    return TableCell(100 * value, 100 * low, 100 * high, verdict)


def majority_average(result: EvalResult) -> float:
    """Mean share of the majority answer over the tasks."""
    return sum(result.majority.values()) / max(1, len(result.majority))


def results_table(results: list[EvalResult]) -> dict[str, Any]:
    """One row an evaluation, one column a task, and a row of majority answers for each split."""
    tasks = list(dict.fromkeys(task for result in results for task in result.per_task))
    rows = []
    for result in results:
        shares = [task["format"] for task in result.per_task.values()]
        rows.append(
            {
                "after": result.after,
                "split": result.split,
                "cells": [cell(result.per_task.get(task), result.majority.get(task)) for task in tasks],
                "average": share_cell(result.average, *result.interval, majority_average(result)),
                "format": 100 * sum(shares) / max(1, len(shares)),
                "errors": sum(task.get("errors", 0) for task in result.per_task.values()),
            }
        )
    last = {result.split: result for result in results}
    majority = [
        {
            "split": split,
            "cells": [100 * found.majority[task] if task in found.majority else None for task in tasks],
            "average": 100 * majority_average(found),
        }
        for split, found in last.items()
    ]
    return {"tasks": tasks, "rows": rows, "majority": majority}


def benchmark_table(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row a task of a benchmark, one column an evaluation stage; shares as they are, in [0, 1]."""
    if not records:
        return {"columns": [], "rows": []}
    columns = list(dict.fromkeys((one["stage"], one["after"]) for one in records))
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in records:
        row = rows.setdefault(
            (one["benchmark"], one["task"]),
            {"title": one["title"], "contains": one["contaminated"], "cells": [None] * len(columns)},
        )
        said = notes({**one, "contaminated": None})
        row["cells"][columns.index((one["stage"], one["after"]))] = {**one, "notes": said}
    return {"columns": columns, "rows": sorted(rows.items(), key=lambda row: row[0][0])}


def result_charts(results: list[EvalResult]) -> list[Chart]:
    """One chart a task: accuracy after each stage with its interval, over the majority answer's."""
    tasks = list(dict.fromkeys(task for result in results for task in result.per_task))
    charts = []
    for task in tasks:
        mine = [result for result in results if task in result.per_task]
        estimates = []
        for result in mine:
            found = result.per_task[task]
            low, high = wilson(found["correct"], found["n"])
            label = result.after if result.split == "dev" else f"{result.after} ({result.split})"
            estimates.append(Estimate(label, found["correct"] / max(1, found["n"]), low, high, result.split == "dev"))
        charts.append(interval_chart(task, estimates, mine[-1].majority.get(task)))
    return charts


@dataclass(frozen=True)
class StageTime:
    """Where the time of a stage went."""

    stage: Stage
    phases: dict[str, float]
    """Seconds of each phase."""
    waiting: float | None
    """Share of trainer's and samplers' time, taken together, in which one waited; None where nothing was sampled."""


def stage_time(stage: Stage) -> StageTime:
    """The phases of a stage's steps, added up; what they leave of the steps is the driver's."""
    phases: dict[str, float] = {}
    times = [line.get("time", {}) for line in stage.lines]
    for name, seconds in (pair for time in times for pair in time.items()):
        if f"time/{name}" not in NO_PHASES:
            phases[name] = phases.get(name, 0.0) + seconds
    phases[DRIVER] = max(0.0, stage.seconds - sum(phases.values()))
    sampled = [time for time in times if "bubble" in time and time["step"] > 0]
    if not sampled:
        return StageTime(stage, phases, None)
    waited = sum(time["bubble"] * time["step"] for time in sampled)
    return StageTime(stage, phases, waited / sum(time["step"] for time in sampled))


def time_bars(run: Run) -> dict[str, Any]:
    """Seconds of each phase in each stage, and the phases by what they took in all."""
    rows = [stage_time(stage) for stage in run.stages if stage.seconds]
    totals: dict[str, float] = {}
    for name, seconds in (pair for row in rows for pair in row.phases.items()):
        totals[name] = totals.get(name, 0.0) + seconds
    names = sorted(totals, key=lambda name: (name == DRIVER, -totals[name]))
    legend = [
        {
            "name": name,
            "meaning": MEANINGS.get(f"time/{name}", ""),
            "colour": "#c3cad2" if name == DRIVER else COLOURS[number % len(COLOURS)],
            "seconds": totals[name],
        }
        for number, name in enumerate(names)
    ]
    return {"rows": rows, "legend": legend, "longest": max((row.stage.seconds for row in rows), default=1.0)}


def corpus_card(stage: Stage | None, card: dict[str, Any], lang: Lang = "en") -> dict[str, Any]:
    """A corpus card with its histogram and the held-out perplexities of its stage."""
    perplexity = card.get("perplexity")
    chart = None
    if perplexity and sum(perplexity["counts"]):
        pas = (stage.config.get("pas") if stage else None) or {}
        borders = pas.get("borders", ()) if pas.get("scale") == "perplexity" else ()
        chart = histogram(Text("Documents by perplexity"), perplexity["edges"], perplexity["counts"], borders, lang)
    held_out = {}
    for metric in stage.metrics if stage else ():
        values = stage.values(metric) if stage and metric.startswith("perplexity/") else []
        if len(values) > 1:
            held_out[metric.removeprefix("perplexity/")] = values[0], values[-1]
    dropped = sorted({reason for source in card["sources"] for reason in source.get("dropped", {})})
    return {**card, "chart": chart, "held_out": held_out, "dropped": dropped}
