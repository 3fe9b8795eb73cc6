"""The page of a run: ``report.html`` in its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rl.config.metric import TRAINING
from rl.files import in_one_move
from rl.records.results import EvalResult
from rl.records.task_figures import percent
from rl.report.curves import gate_text, stage_charts
from rl.report.diagnose import findings
from rl.report.read import Run, Stage, read_run
from rl.report.sampled import evaluation_samples, training_samples
from rl.report.tables import benchmark_table, corpus_card, majority_average, result_charts, results_table, time_bars

KINDS = {
    "mid_training": "mid-training",
    "perplexity": "perplexity",
    "sft": "supervised fine-tuning",
    "rejection": "rejection sampling",
    "grpo": "reinforcement learning",
    "evaluate": "evaluation",
}
BUCKETS = {"low": "#2f5f9e", "mid": "#7aa6d8", "high": "#d9a441", "dropped": "#c3cad2"}
"""Perplexity buckets and their colours."""


def environment() -> Environment:
    """Templates that escape whatever they print: completions are text of untrusted origin."""
    found = Environment(
        loader=PackageLoader("rl.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {"duration": duration, "count": count, "signed": lambda value: f"{value:+.1f}", "percent": percent}
    found.globals |= {"kinds": KINDS, "training_kinds": TRAINING, "bucket_colours": BUCKETS}
    return found


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write the page of a run, by default to ``report.html`` in its folder; returns its path.

    Raises:
        UserError: if the folder is no run folder, or a file in it is damaged.
    """
    return write_page(out or run_dir / "report.html", render(read_run(run_dir)))


def write_page(path: Path, text: str) -> Path:
    """Write a page in one move."""
    with in_one_move(path, f".{os.getpid()}") as partial:  # runs of a sweep may write the same page at once
        partial.write_text(text, encoding="utf-8")
    return path


def render(run: Run) -> str:
    """The page of a run as HTML."""
    training = run.of_kind(*TRAINING)
    diagnoses = {stage.name: findings(run, stage) for stage in training}
    cards = [corpus_card(run.stage(name), card) for name, card in run.corpora.items()]
    evaluated = run.of_kind("evaluate")[-1:]
    return environment().get_template("report.html.j2").render(
        run=run,
        state=state(run),
        headline=headline(run),
        training=[(stage, describe(run, stage)) for stage in training],
        charts={stage.name: stage_charts(stage) for stage in training},
        diagnoses=diagnoses,
        results=results_table(run.results),
        result_charts=result_charts(run.results),
        benchmarks=benchmark_table(run.benchmarks),
        time=time_bars(run),
        corpora=cards,
        losses=run.losses,
        samples={
            **{stage.name: training_samples(run, stage) for stage in run.of_kind("rejection", "grpo")},
            **{stage.name: evaluation_samples(run, stage) for stage in evaluated},
        },
        settings=json.dumps(run.config, ensure_ascii=False, indent=1),
    )  # fmt: skip


def state(run: Run) -> str:
    """How far a run has come, in words."""
    for stage in run.stages:
        if not (stage.record.get("done") or stage.record.get("skipped")):
            where = f", step {len(stage.lines)} of {stage.steps}" if stage.steps else ""
            return f"unfinished: stage {stage.name}{where}"
    return "complete"


def fallen(first: EvalResult, last: EvalResult) -> str:
    """The tasks that ended lower than they began, with their loss; an average hides them."""
    before, after = first.metrics, last.metrics
    change = {task: 100 * (after[f"accuracy/{task}"] - before[f"accuracy/{task}"]) for task in first.per_task}
    return "".join(f" · {task} {points:+.1f}" for task, points in change.items() if round(points, 1) < 0)


def headline(run: Run) -> list[dict[str, str]]:
    """The few figures at the top of the page."""
    found = []
    if run.results:
        last = run.results[-1]
        # Other questions, or other tasks, would say nothing of a gain.
        like = [r for r in run.results if r.split == last.split and r.per_task.keys() == last.per_task.keys()]
        low, high = last.interval
        found.append(
            {
                "label": f"held-out accuracy ({last.split})",
                "value": f"{100 * last.average:.1f} %",
                "note": f"95 % interval {100 * low:.0f}–{100 * high:.0f} · majority answer "
                f"{100 * majority_average(last):.1f} %",
            }
        )
        if len(like) > 1:
            first = like[0]
            found.append(
                {
                    "label": f"since the first evaluation on {first.split} (after {first.after})",
                    "value": f"{100 * (last.average - first.average):+.1f} points",
                    "note": f"from {100 * first.average:.1f} %{fallen(first, last)}",
                }
            )
    lines = [line for stage in run.stages for line in stage.lines]
    sampled = sum(line.get("completion_tokens", 0) for line in lines)
    read = sum(line.get("tokens", 0) for stage in run.of_kind(*TRAINING) for line in stage.lines)
    found.append(
        {
            "label": "time in stages",
            "value": duration(run.seconds),
            "note": f"{len(lines)} steps, without starting actors",
        }
    )
    found.append(
        {
            "label": "tokens sampled and trained on",
            "value": count(sampled + read),
            "note": f"{count(sampled)} in completions",
        }
    )
    return found


def duration(seconds: float) -> str:
    """A duration in the two units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: float) -> str:
    """A count with a unit of thousands or millions."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def describe(run: Run, stage: Stage) -> list[tuple[str, str]]:
    """What a training stage was asked to do, in a few pairs."""
    config: dict[str, Any] = stage.config
    optim = config.get("optim", {})
    pairs = []
    if config.get("tasks"):
        pairs.append(("tasks", " · ".join(f"{name} {weight:g}" for name, weight in config["tasks"].items())))
    if config.get("demonstrations"):
        pairs.append(("demonstrations", " · ".join(f"{name} {n}" for name, n in config["demonstrations"].items())))
    if stage.kind in ("rejection", "grpo"):
        weights = {name: part["weight"] for name, part in run.reward_config(stage).items()}
        pairs.append(("reward", " · ".join(f"{name} {weight:g}" for name, weight in weights.items())))
    if stage.kind == "grpo":
        pairs.append(("algorithm", _algorithm(config["algorithm"])))
    if stage.kind == "rejection":
        pairs.append(("rounds", f"{config['rounds']} of {config['sampling_steps']} + {config['training_steps']} steps"))
        pairs.append(("keeps", _keeps(config["keep"])))
    if config.get("data"):
        pairs.append(("data", str(config["data"])))
    if config.get("corpus"):
        pairs.append(("corpus", " · ".join(_source(source) for source in config["corpus"])))
    if optim:
        pairs.append(("rate", f"{optim['lr']:g}, {optim['schedule']}"))
    gates = config.get("gates") or {}
    for name in ("enter", "leave", "fall_back"):
        if gates.get(name):
            pairs.append((name.replace("_", " "), ", ".join(gate_text(gate) for gate in gates[name])))
    return pairs


def _algorithm(config: dict[str, Any]) -> str:
    name = config.get("preset") or f"{config['advantage']} advantages, {config['loss']} loss"
    return f"{name}, KL {config['kl_coef']:g}" if config.get("kl_coef") else name


def _keeps(config: dict[str, Any]) -> str:
    order = "shortest" if config["shortest"] else "best"
    return f"{order} {config['per_prompt']} a prompt, {config['reward'] or 'reward'} ≥ {config['at_least']:g}"


def _source(source: dict[str, Any]) -> str:
    laws = source.get("laws") or ()
    what = "、".join(laws[:3]) + (f" and {len(laws) - 3} more laws" if len(laws) > 3 else "") or source["path"]
    return f"{what} {source['weight']:g}"
