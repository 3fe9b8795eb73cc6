"""The page of a run: ``report.html`` in its folder."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rl.config.metric import TRAINING
from rl.files import in_one_move
from rl.language import HTML_LANG, Lang, Text, code, listed, say, sayer
from rl.records.results import EvalResult
from rl.records.task_figures import percent
from rl.report.curves import gate_text, stage_charts
from rl.report.diagnose import findings
from rl.report.read import Run, Stage, read_run
from rl.report.sampled import evaluation_samples, training_samples
from rl.report.tables import benchmark_table, corpus_card, majority_average, result_charts, results_table, time_bars

KINDS = {
    "mid_training": Text("mid-training"),
    "perplexity": Text("perplexity"),
    "sft": Text("supervised fine-tuning"),
    "rejection": Text("rejection sampling"),
    "grpo": Text("reinforcement learning"),
    "evaluate": Text("evaluation"),
}
BUCKETS = {"low": "#2f5f9e", "mid": "#7aa6d8", "high": "#d9a441", "dropped": "#c3cad2"}
"""Perplexity buckets and their colours."""
SCRIPT = (Path(__file__).parent / "templates" / "charts.js").read_text(encoding="utf-8")
"""Ours, for the charts. A page runs no other: its policy names the hash of this one."""


@cache
def environment(lang: Lang = "en") -> Environment:
    """Templates in a language that escape whatever they print: completions are text of untrusted origin. A process
    compiles them once."""
    found = Environment(
        loader=PackageLoader("rl.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    filters: dict[str, Any] = {
        "duration": lambda seconds: say(lang, duration(seconds)),
        "count": count,
        "percent": percent,
    }
    found.filters |= filters
    found.globals |= {
        "t": sayer(lang),
        "code": code,
        "html_lang": HTML_LANG[lang],
        "kinds": KINDS,
        "training_kinds": TRAINING,
        "bucket_colours": BUCKETS,
        "script": Markup(SCRIPT),
        "script_hash": f"sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}",
    }
    return found


def write_report(run_dir: Path, out: Path | None = None, lang: Lang = "en") -> Path:
    """Write the page of a run in a language, by default to ``report.html`` in its folder; returns its path.

    Raises:
        UserError: if the folder is no run folder, or a file in it is damaged.
    """
    return write_page(out or run_dir / "report.html", render(read_run(run_dir), lang))


def write_page(path: Path, text: str) -> Path:
    """Write a page in one move."""
    with in_one_move(path, f".{os.getpid()}") as partial:  # runs of a sweep may write the same page at once
        partial.write_text(text, encoding="utf-8")
    return path


def render(run: Run, lang: Lang = "en") -> str:
    """The page of a run as HTML."""
    training = run.of_kind(*TRAINING)
    diagnoses = {stage.name: findings(run, stage) for stage in training}
    cards = [corpus_card(run.stage(name), card, lang) for name, card in run.corpora.items()]
    evaluated = run.of_kind("evaluate")[-1:]
    return environment(lang).get_template("report.html.j2").render(
        run=run,
        state=state(run),
        headline=headline(run),
        training=[(stage, describe(run, stage)) for stage in training],
        charts={stage.name: stage_charts(stage, lang) for stage in training},
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


def state(run: Run) -> Text:
    """How far a run has come, in words."""
    for stage in run.stages:
        if not (stage.record.get("done") or stage.record.get("skipped")):
            values = {"stage": stage.name, "step": len(stage.lines), "steps": stage.steps}
            if stage.steps:
                return Text("unfinished: stage {stage}, step {step} of {steps}", **values)
            return Text("unfinished: stage {stage}", **values)
    return Text("complete")


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
                "label": Text("held-out accuracy ({split})", split=last.split),
                "value": f"{100 * last.average:.1f} %",
                "note": Text(
                    "95 % interval {low:.0f}–{high:.0f} · majority answer {majority:.1f} %",
                    low=100 * low,
                    high=100 * high,
                    majority=100 * majority_average(last),
                ),
            }
        )
        if len(like) > 1:
            first = like[0]
            found.append(
                {
                    "label": Text(
                        "since the first evaluation on {split} (after {after})", split=first.split, after=first.after
                    ),
                    "value": Text("{change:+.1f} points", change=100 * (last.average - first.average)),
                    "note": Text("from {first:.1f} %{fallen}", first=100 * first.average, fallen=fallen(first, last)),
                }
            )
    lines = [line for stage in run.stages for line in stage.lines]
    sampled = sum(line.get("completion_tokens", 0) for line in lines)
    read = sum(line.get("tokens", 0) for stage in run.of_kind(*TRAINING) for line in stage.lines)
    found.append(
        {
            "label": Text("time in stages"),
            "value": duration(run.seconds),
            "note": Text("{n} steps, without starting actors", n=len(lines)),
        }
    )
    found.append(
        {
            "label": Text("tokens sampled and trained on"),
            "value": count(sampled + read),
            "note": Text("{n} in completions", n=count(sampled)),
        }
    )
    return found


def duration(seconds: float) -> Text:
    """A duration in the two units that matter."""
    if seconds < 60:
        return Text("{s:.1f} s", s=seconds) if seconds < 10 else Text("{s:.0f} s", s=seconds)
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return Text("{min} min {s} s", min=minutes, s=rest)
    return Text("{h} h {min} min", h=minutes // 60, min=minutes % 60)


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
    pairs: list[tuple[str, str]] = []
    if config.get("tasks"):
        pairs.append((Text("tasks"), " · ".join(f"{name} {weight:g}" for name, weight in config["tasks"].items())))
    if config.get("demonstrations"):
        pairs.append(
            (Text("demonstrations"), " · ".join(f"{name} {n}" for name, n in config["demonstrations"].items()))
        )
    if stage.kind in ("rejection", "grpo"):
        weights = {name: part["weight"] for name, part in run.reward_config(stage).items()}
        pairs.append((Text("reward"), " · ".join(f"{name} {weight:g}" for name, weight in weights.items())))
    if stage.kind == "grpo":
        pairs.append((Text("algorithm"), _algorithm(config["algorithm"])))
    if stage.kind == "rejection":
        pairs.append((Text("rounds"), Text("{rounds} of {sampling_steps} + {training_steps} steps", **config)))
        pairs.append((Text("keeps"), _keeps(config["keep"])))
    if config.get("data"):
        pairs.append((Text("data"), str(config["data"])))
    if config.get("corpus"):
        pairs.append((Text("corpus"), listed([_source(source) for source in config["corpus"]], " · ")))
    if optim:
        pairs.append((Text("rate"), f"{optim['lr']:g}, {optim['schedule']}"))
    gates = config.get("gates") or {}
    for name, said in (("enter", Text("enter")), ("leave", Text("leave")), ("fall_back", Text("fall back"))):
        if gates.get(name):
            pairs.append((said, listed([gate_text(gate) for gate in gates[name]])))
    return pairs


def _algorithm(config: dict[str, Any]) -> str:
    name = config.get("preset") or Text("{advantage} advantages, {loss} loss", **config)
    return Text("{name}, KL {kl:g}", name=name, kl=config["kl_coef"]) if config.get("kl_coef") else name


def _keeps(config: dict[str, Any]) -> str:
    values = {"n": config["per_prompt"], "reward": config["reward"] or Text("reward"), "least": config["at_least"]}
    if config["shortest"]:
        return Text("shortest {n} a prompt, {reward} ≥ {least:g}", **values)
    return Text("best {n} a prompt, {reward} ≥ {least:g}", **values)


def _source(source: dict[str, Any]) -> str:
    laws, weight = source.get("laws") or (), source["weight"]
    what = "、".join(laws[:3]) or source["path"]
    if len(laws) <= 3:
        return f"{what} {weight:g}"
    return Text("{laws} and {n} more laws {weight:g}", laws=what, n=len(laws) - 3, weight=weight)
