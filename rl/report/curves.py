"""Which curves a training stage is shown by, from the metrics that it logged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from curricula.gates import Condition
from rl.report.charts import Chart, Curve, Rule, line_chart
from rl.report.read import Stage

EVENT = "#7a4a94"


class Plot(NamedTuple):
    """One chart of a stage: the metrics that it shows by name, and how."""

    title: str
    note: str
    metrics: dict[str, str]
    """Label of each metric, by its name."""
    log: bool = False
    share: bool = False
    from_zero: bool = False


def stage_charts(stage: Stage) -> list[Chart]:
    """Every chart for which a stage has numbers, gates drawn in where they watch one of its metrics."""
    events = list(_events(stage))
    panels = _grpo(stage) if stage.kind == "grpo" else _supervised(stage)
    shown = {metric for panel in panels for metric in panel.metrics}
    panels += [
        Plot(metric, "watched by a gate", {metric: metric})
        for metric in dict.fromkeys(gate["metric"] for gate in _gates(stage))
        if metric not in shown and stage.values(metric)
    ]
    panels = [panel for panel in panels if any(_series(stage, metric)[0] for metric in panel.metrics)]
    bare = [replace(event, label="") for event in events]
    return [_chart(stage, panel, bare if number else events) for number, panel in enumerate(panels)]


def _chart(stage: Stage, panel: Plot, events: Sequence[Rule]) -> Chart:
    curves = []
    for metric, label in panel.metrics.items():
        x, y = _series(stage, metric)
        if x:
            curves.append(Curve(label, x, y, _style(metric)))
    log = panel.log and min(value for curve in curves for value in curve.y) > 0
    rules = [*_limits(stage, panel), *_thresholds(stage, panel), *events]
    last = (stage.steps or 1) if stage.ended else 1
    return line_chart(panel.title, curves, panel.note, rules, log, panel.share, panel.from_zero, last)


def _style(metric: str) -> Literal["noisy", "exact", "points"]:
    if metric.startswith(("held_out", "perplexity/")):
        return "points"
    settled = metric in ("lr", "alpha") or (metric.startswith("task/") and metric.endswith("/reward"))  # a running mean
    return "exact" if settled else "noisy"


def _series(stage: Stage, metric: str) -> tuple[list[int], list[float]]:
    """A metric of metrics.jsonl, or one of two shares that follow from one."""
    if metric == "malformed":
        x, y = stage.series("reward/format")
        return x, [1 - value for value in y]
    if metric == "errored":
        x, y = stage.series("groups/errored")
        sampled = dict(zip(*stage.series("groups/sampled"), strict=True))
        return x, [value / max(1.0, sampled.get(step, 1.0)) for step, value in zip(x, y, strict=True)]
    return stage.series(metric)


def _grpo(stage: Stage) -> list[Plot]:
    """Panels of a reinforcement-learning stage."""
    parts = {m: m.removeprefix("reward/") for m in stage.metrics if m.startswith("reward/")}
    waste = {"groups/zero_variance": "groups without variance", "truncated": "truncated"}
    waste |= {"malformed": "malformed", "errored": "errored groups"}
    panels = [
        Plot("Reward", "mean over all completions of a step", {"reward": "reward"}),
        Plot("Parts of the reward", "mean score of each, before its weight", parts),
        Plot("Accuracy by task", "running mean over a task's groups", _tasks(stage, "accuracy"), share=True),
        Plot("Reward by task", "running mean over a task's groups", _tasks(stage, "reward")),
        Plot("Mixture", "share of each task in the prompts", _tasks(stage, "share"), share=True),
        Plot("Lost samples", "share of groups or completions", waste, share=True),
        Plot("Completion length", "tokens", {"completion_length": "mean length"}, from_zero=True),
        Plot("Entropy", "nats a token", {"entropy": "entropy"}, from_zero=True),
        Plot("KL", "divergence from the reference", {"kl": "kl"}),
        Plot("Gradient norm", "before clipping", {"grad_norm": "gradient norm"}, from_zero=True),
        Plot("Learning rate", "", {"lr": "learning rate"}, from_zero=True),
        Plot("Loss", "policy loss with KL and entropy terms", {"loss": "loss"}),
        Plot("Clipped tokens", "share whose ratio left the range", {"clip_fraction": "clipped"}),
        Plot(
            "Sampler against trainer",
            "how far they disagree about a token",
            {"log_prob_difference": "largest difference of log-probs", "mismatch_kl": "divergence"},
            log=True,
        ),
    ]
    if any(stage.values("staleness_max")):
        stale = {"staleness": "mean", "staleness_max": "largest"}
        panels.append(Plot("Staleness", "updates between sampling and training", stale))
    judged = {m: m.removeprefix("judge/").replace("_", " ") for m in ("judge/hit_rate", "judge/error_rate")}
    panels.append(Plot("Judge", "share of requests", judged, share=True))
    return [panel for panel in panels if _says_something(stage, panel)]


def _says_something(stage: Stage, panel: Plot) -> bool:
    """Whether a chart is worth its place: clip fractions and the like are left out while they stay at 0."""
    return panel.title not in ("Clipped tokens", "Mixture") or any(
        max(values) - min(values) > 1e-9 for metric in panel.metrics if (values := stage.values(metric))
    )


def _supervised(stage: Stage) -> list[Plot]:
    """Panels of a mid-training or SFT stage."""
    asked, drawn, kinds = (
        {metric: metric.removeprefix(prefix) for metric in stage.metrics if metric.startswith(prefix)}
        for prefix in ("share/", "drawn/", "perplexity/")
    )
    return [
        Plot("Loss", "nats a token", {"loss": "training", "held_out_loss": "held out"}),
        Plot("Held-out perplexity", "by kind of text", kinds),
        Plot("Buckets asked", "share of tokens, by perplexity", asked, share=True),
        Plot("Buckets drawn", "share of tokens so far", drawn, share=True),
        Plot("Plasticity", "learning rate as a share of its peak", {"alpha": "alpha"}, share=True),
        Plot("Gradient norm", "before clipping", {"grad_norm": "gradient norm"}, from_zero=True),
        Plot("Learning rate", "", {"lr": "learning rate"}, from_zero=True),
    ]


def _tasks(stage: Stage, what: str) -> dict[str, str]:
    names = [m for m in stage.metrics if m.startswith("task/") and m.endswith(f"/{what}")]
    return {metric: metric.removeprefix("task/").removesuffix(f"/{what}") for metric in names}


def _gates(stage: Stage) -> list[dict[str, Any]]:
    """Gates that watch the stage's own metrics, each with what it does: ``leave`` or ``fall back``."""
    gates = stage.config.get("gates") or {}
    return [{**gate, "does": name.replace("_", " ")} for name in ("leave", "fall_back") for gate in gates.get(name, ())]


def gate_text(gate: dict[str, Any]) -> str:
    """A gate as words, such as ``reward ≥ 0.9 for 3 steps``."""
    return str(Condition(gate["metric"], gate.get("above"), gate.get("below"), gate.get("steps", 1)))


def _thresholds(stage: Stage, panel: Plot) -> Iterator[Rule]:
    """The gates that watch a metric of a panel, as horizontal lines."""
    for gate in _gates(stage):
        if gate["metric"] not in panel.metrics:
            continue
        for bound in (gate.get("above"), gate.get("below")):
            if bound is not None:
                yield Rule(f"{gate['does']}: {gate_text(gate)}", y=bound)


def _limits(stage: Stage, panel: Plot) -> Iterator[Rule]:
    """Limits of the configuration that a metric runs against."""
    lengths = stage.values("completion_length") if "completion_length" in panel.metrics else []
    if lengths and max(lengths) > stage.config["sampling"]["max_tokens"] / 3:  # a far limit would flatten the curve
        yield Rule("sampling.max_tokens", y=stage.config["sampling"]["max_tokens"], colour="#8a94a0")
    clip = stage.config.get("optim", {}).get("clip_grad")
    if "grad_norm" in panel.metrics and clip and max(stage.values("grad_norm"), default=0.0) > clip / 2:
        yield Rule("optim.clip_grad", y=clip, colour="#8a94a0")


def _events(stage: Stage) -> Iterator[Rule]:
    """Where a gate ended the stage, and which weights it ended with."""
    if not stage.ended:
        return
    if stage.ended["kind"] != "best":
        what = "fell back" if stage.ended["kind"] == "fall_back" else "left"
        yield Rule(f"{what} after step {stage.ended['step']}", x=stage.ended["step"], colour=EVENT)
    if stage.ended.get("weights_after"):
        yield Rule(stage.kept, x=stage.ended["weights_after"], colour="#1f8a70")
