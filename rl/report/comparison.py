"""The page that compares runs: ``compare.html`` in the folder that holds them, such as that of a sweep."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.config.metrics import label
from rl.errors import UserError
from rl.language import Lang, Text, say
from rl.records.results import EvalResult, wilson
from rl.report.charts import COLOURS, Chart, Curve, Estimate, interval_chart, line_chart
from rl.report.page import environment, state, write_page
from rl.report.read import Run, read_run, runs_in
from rl.report.tables import majority_average, share_cell

CURVES = ("reward", "reward/accuracy")
"""Metrics of GRPO stages of which the runs' curves are drawn into one chart."""
IN_LABEL = 3
"""Most settings that a label holds."""
STAGES = "curriculum.stages"


@dataclass(frozen=True)
class Variant:
    """Runs that differ by their seed alone."""

    runs: list[Run]
    settings: dict[str, str]
    """Values of the keys in which variants differ."""
    colour: str

    @property
    def label(self) -> str:
        """The settings as a label; the name of the first run where there are none, or too many for one."""
        if not 0 < len(self.settings) <= IN_LABEL:
            return self.runs[0].name
        return ", ".join(f"{key.rsplit('.', 1)[-1]} {value}" for key, value in self.settings.items())


def write_comparison(folder: Path, out: Path | None = None, lang: Lang = "en") -> Path:
    """Write the page that compares the runs in a folder, by default to ``compare.html`` there; returns its path.

    Raises:
        UserError: if no run folder lies in it, or a file in one is damaged.
    """
    found = runs_in(folder)
    if not found:
        raise UserError(f"{folder} holds no run folders; give the folder of a run or of a sweep")
    page = out or folder / "compare.html"
    linked = [path.name for path in found if (path / "report.html").is_file()]
    if page.resolve().parent != folder.resolve():
        linked = []
    return write_page(page, render([read_run(path) for path in found], folder.resolve().name, linked, lang))


def render(runs: Sequence[Run], name: str, linked: Sequence[str] = (), lang: Lang = "en") -> str:
    """The page as HTML; ``linked`` are the runs whose own page lies at ``<run>/report.html`` from it."""
    groups = variants(runs)
    return (
        environment(lang)
        .get_template("compare.html.j2")
        .render(
            name=name,
            runs=runs,
            linked=linked,
            rows=[row(variant) for variant in groups],
            curves=curve_charts(groups, lang),
            tasks=task_charts(groups),
            several_seeds=any(len(variant.runs) > 1 for variant in groups),
        )
    )


def variants(runs: Sequence[Run]) -> list[Variant]:
    """Runs put together where their configurations differ by the seed alone, with the keys in which they differ."""
    flat = with_whole_parts([flatten(run.config) for run in runs])
    names = dict.fromkeys(key for config in flat for key in config)
    keys = [key for key in names if key != "seed" and len({config.get(key) for config in flat}) > 1]
    if STAGES in keys:  # other stages: their keys have no counterparts
        keys = [key for key in keys if not key.startswith(f"{STAGES}.")]
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run, config in zip(runs, flat, strict=True):
        groups.setdefault(tuple(config.get(key, "–") for key in keys), []).append(run)
    return [
        Variant(
            sorted(mine, key=lambda run: run.manifest["seed"]),
            dict(zip(keys, values, strict=True)),
            COLOURS[number % len(COLOURS)],
        )
        for number, (values, mine) in enumerate(groups.items())
    ]


def with_whole_parts(configs: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Configurations in which a part that only some runs have, such as one reward, is a key with ``yes`` or ``no``. The
    keys below it stay only where they differ among the runs that have the part."""
    found = [dict(config) for config in configs]
    keys = dict.fromkeys(key for config in configs for key in config)
    for part in dict.fromkeys(key.rpartition(".")[0] for key in keys):
        inner = [key for key in keys if key.startswith(f"{part}.")]
        has = [any(key in config for key in inner) for config in configs]
        if not part or all(has) or part.startswith(STAGES):
            continue
        for config, there in zip(found, has, strict=True):
            config[part] = "yes" if there else "no"
        for key in inner:
            if len({config.get(key) for config, there in zip(configs, has, strict=True) if there}) == 1:
                for config in found:
                    config.pop(key, None)
    return found


def flatten(value: Any, path: str = "") -> dict[str, str]:
    """Leaves of a configuration by their dotted path, as text; the stages of a curriculum go by their names."""
    if isinstance(value, Mapping) and value:
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= flatten(inner, f"{path}.{key}" if path else str(key))
        return found
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        found = {f"{path}": " → ".join(item["name"] for item in value)}
        for item in value:
            found |= flatten({key: inner for key, inner in item.items() if key != "name"}, f"{path}.{item['name']}")
        return found
    return {path: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}


def final(run: Run) -> EvalResult | None:
    """The result that a run is judged by: the last on the test split, else the last; None if there is none."""
    found = [result for result in run.results if result.split == "test"] or run.results
    return found[-1] if found else None


def row(variant: Variant) -> dict[str, Any]:
    """A variant with its runs, each with the average accuracy of its final result; mean and spread over seeds."""
    runs = []
    for run in variant.runs:
        found = final(run)
        average = share_cell(found.average, *found.interval, majority_average(found)) if found else None
        majority = 100 * majority_average(found) if found else None
        runs.append({"run": run, "result": found, "average": average, "majority": majority, "state": state(run)})
    averages = [100 * found.average for run in variant.runs if (found := final(run))]
    return {
        "variant": variant,
        "runs": runs,
        "mean": statistics.fmean(averages) if averages else None,
        "spread": statistics.stdev(averages) if len(averages) > 1 else None,
        "n": len(averages),
    }


def curve_charts(groups: Sequence[Variant], lang: Lang = "en") -> list[tuple[str, list[Chart]]]:
    """For each stage its reward and accuracy, one curve a variant: the mean over its seeds, with their deviation."""
    names = dict.fromkeys(s.name for variant in groups for run in variant.runs for s in run.of_kind("grpo"))
    found = []
    for name in names:
        charts = []
        for metric in CURVES:
            curves = [curve for variant in groups if (curve := _curve(variant, name, metric)) is not None]
            if curves:
                title = say(lang, label(metric, "grpo")).capitalize()
                charts.append(line_chart(title, curves, Text("mean over a step's completions"), lang=lang))
        found.append((name, charts))
    return [(name, charts) for name, charts in found if charts]


def _curve(variant: Variant, stage: str, metric: str) -> Curve | None:
    series = [s.series(metric) for run in variant.runs if (s := run.stage(stage)) is not None]
    by_step: dict[int, list[float]] = {}
    for steps, values in series:
        for step, value in zip(steps, values, strict=True):
            by_step.setdefault(step, []).append(value)
    # A mean over fewer runs than at the start would jump where one ends early.
    whole = {step: values for step, values in sorted(by_step.items()) if len(values) == len(series)}
    if not whole:
        return None
    spread = [statistics.stdev(values) for values in whole.values()] if len(series) > 1 else []
    means = [statistics.fmean(values) for values in whole.values()]
    return Curve(variant.label, list(whole), means, "noisy", spread, variant.colour)


def task_charts(groups: Sequence[Variant]) -> list[Chart]:
    """For each task the variants' final accuracy side by side, all seeds' answers counted together."""
    found = [(variant, [result for run in variant.runs if (result := final(run))]) for variant in groups]
    tasks = dict.fromkeys(task for _, results in found for result in results for task in result.per_task)
    charts = []
    for task in tasks:
        estimates, majority = [], []
        for variant, results in found:
            mine = [result.per_task[task] for result in results if task in result.per_task]
            right, n = sum(one["correct"] for one in mine), sum(one["n"] for one in mine)
            if n:
                low, high = wilson(right, n)
                estimates.append(Estimate("", right / n, low, high, colour=variant.colour))
            majority += [result.majority[task] for result in results if task in result.majority]
        charts.append(interval_chart(task, estimates, majority[-1] if majority else None))
    return charts
