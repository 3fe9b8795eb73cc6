"""Which curves a training stage is shown by, from the metrics that it logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from curricula.gates import Condition
from rl.config.metric import Metric
from rl.config.metrics import find, label
from rl.language import Lang, Text, say
from rl.report.charts import Chart, Curve, Rule, line_chart
from rl.report.read import Stage

EVENT = "#7a4a94"
DERIVED = {"malformed": Text("malformed"), "errored": Text("errored groups")}
"""Shares that follow from a metric, with their labels: completions out of form, and dropped groups."""


class Plot(NamedTuple):
    """One chart of a stage: the metrics that it shows, and how."""

    metrics: Sequence[str]
    title: str
    note: str
    log: bool = False
    share: bool = False
    from_zero: bool = False
    labelled: bool = False
    """Whether the title is a label of the catalogue, and so gets a capital."""


def stage_charts(stage: Stage, lang: Lang = "en") -> list[Chart]:
    """Every chart for which a stage has numbers, in a language, gates drawn in where they watch one of its metrics."""
    events = list(_events(stage))
    panels = PLOTS.get(stage.kind, _supervised)(stage)
    shown = {metric for panel in panels for metric in panel.metrics}
    panels += [
        Plot((metric,), metric, Text("watched by a gate"))
        for metric in dict.fromkeys(gate["metric"] for gate in _gates(stage))
        if metric not in shown and stage.values(metric)
    ]
    panels = [panel for panel in panels if any(_series(stage, metric)[0] for metric in panel.metrics)]
    bare = [replace(event, label="") for event in events]
    return [_chart(stage, panel, bare if number else events, lang) for number, panel in enumerate(panels)]


def _chart(stage: Stage, panel: Plot, events: Sequence[Rule], lang: Lang) -> Chart:
    curves = [curve for metric in panel.metrics if (curve := _curve(stage, metric, lang)) is not None]
    log = panel.log and min(value for curve in curves for value in curve.y) > 0
    rules = [*_limits(stage, panel), *_thresholds(stage, panel), *events]
    last = (stage.steps or 1) if stage.ended else 1
    title = say(lang, panel.title)
    title = title[0].upper() + title[1:] if panel.labelled else title
    return line_chart(title, curves, panel.note, rules, log, panel.share, panel.from_zero, last, lang)


def _curve(stage: Stage, metric: str, lang: Lang) -> Curve | None:
    x, y = _series(stage, metric)
    if not x:
        return None
    if metric in DERIVED:
        return Curve(DERIVED[metric], x, y)
    found = find(metric, stage.kind)
    about = f"{metric}: {say(lang, meaning(found))}" if found else metric
    return Curve(label(metric, stage.kind), x, y, found.curve if found else "noisy", about=about)


def _series(stage: Stage, metric: str) -> tuple[list[int], list[float]]:
    """A metric of metrics.jsonl, or one of :data:`DERIVED`."""
    if metric == "malformed":
        x, y = stage.series("reward/format")
        return x, [1 - value for value in y]
    if metric == "errored":
        x, y = stage.series("groups/errored")
        sampled = dict(zip(*stage.series("groups/sampled"), strict=True))
        return x, [value / max(1.0, sampled.get(step, 1.0)) for step, value in zip(x, y, strict=True)]
    return stage.series(metric)


def _sampled(stage: Stage) -> list[Plot]:
    """Charts of what a stage has sampled."""
    lost = ("groups/zero_variance", "truncated", *DERIVED)
    return [
        _single(stage, "reward", Text("mean over all completions of a step")),
        Plot(
            stage.family("reward/{reward}"), Text("Parts of the reward"), Text("mean score of each, before its weight")
        ),
        Plot(
            stage.family("task/{task}/accuracy"),
            Text("Accuracy by task"),
            Text("running mean over a task's groups"),
            share=True,
        ),
        Plot(
            ("held_out/accuracy", *stage.family("held_out/accuracy/{task}")),
            Text("Held-out accuracy"),
            Text("greedy answers to questions that are not trained on"),
            share=True,
        ),
        Plot(stage.family("task/{task}/reward"), Text("Reward by task"), Text("running mean over a task's groups")),
        Plot(stage.family("task/{task}/share"), Text("Mixture"), Text("share of each task in the prompts"), share=True),
        Plot(lost, Text("Lost samples"), Text("share of groups or completions"), share=True),
        Plot(("completion_length",), Text("Completion length"), Text("tokens"), from_zero=True),
    ]


def _grpo(stage: Stage) -> list[Plot]:
    """Charts of a reinforcement-learning stage."""
    found = [
        *_sampled(stage),
        _single(stage, "entropy", from_zero=True),
        _single(stage, "kl", Text("divergence from the reference")),
        *_optimizer(stage),
        _single(stage, "loss", Text("policy loss with KL and entropy terms")),
        Plot(("clip_fraction",), Text("Clipped tokens"), Text("share whose ratio left the range")),
        Plot(
            ("log_prob_difference", "mismatch_kl"), Text("Sampler against trainer"),
            Text("how far they disagree about a token"),
            log=True,
        ),
    ]  # fmt: skip
    if any(stage.values("staleness_max")):
        found.append(
            Plot(("staleness", "staleness_max"), Text("Staleness"), Text("updates between sampling and training"))
        )
    found.append(Plot(("judge/hit_rate", "judge/error_rate"), Text("Judge"), Text("share of requests"), share=True))
    return [plot for plot in found if _says_something(stage, plot)]


def _single(stage: Stage, metric: str, note: str | None = None, from_zero: bool = False) -> Plot:
    """The chart of one metric, with its title and unit from the catalogue."""
    found = find(metric, stage.kind)
    unit = found.unit if found else ""
    shown = unit if note is None else note
    return Plot((metric,), label(metric, stage.kind), shown, from_zero=from_zero, labelled=True)


def _optimizer(stage: Stage) -> list[Plot]:
    return [_single(stage, "grad_norm", Text("before clipping"), from_zero=True), _single(stage, "lr", from_zero=True)]


def _says_something(stage: Stage, panel: Plot) -> bool:
    """Whether a chart is worth its place: clip fractions and the like are left out while they stay at 0."""
    return panel.title not in ("Clipped tokens", "Mixture") or any(
        max(values) - min(values) > 1e-9 for metric in panel.metrics if (values := stage.values(metric))
    )


def _supervised(stage: Stage) -> list[Plot]:
    """Charts of a mid-training or SFT stage."""
    return [
        Plot(("loss", "held_out_loss"), Text("Loss"), Text("nats a token")),
        Plot(stage.family("perplexity/{kind}"), Text("Held-out perplexity"), Text("by kind of text")),
        Plot(stage.family("share/{bucket}"), Text("Buckets asked"), Text("share of tokens, by perplexity"), share=True),
        Plot(stage.family("drawn/{bucket}"), Text("Buckets drawn"), Text("share of tokens so far"), share=True),
        Plot(("alpha",), Text("Plasticity"), Text("learning rate as a share of its peak"), share=True),
        *_optimizer(stage),
    ]


def _rejection(stage: Stage) -> list[Plot]:
    """Charts of a stage of rejection sampling."""
    return [
        Plot(
            ("answers/right", "groups/solved"),
            Text("Right answers"),
            Text("share of completions, of groups"),
            share=True,
        ),
        Plot(("answers/kept",), Text("Answers kept"), Text("of the round so far"), from_zero=True),
        *_sampled(stage),
        Plot(("loss",), Text("Loss"), Text("nats a token")),
        Plot(("passes",), Text("Passes"), Text("of the training over the round's answers"), from_zero=True),
        *_optimizer(stage),
    ]


PLOTS: dict[str, Callable[[Stage], list[Plot]]] = {"grpo": _grpo, "rejection": _rejection}
"""The charts of a kind of stage; the others have those of next-token training."""


def _gates(stage: Stage) -> list[dict[str, Any]]:
    """Gates that watch the stage's own metrics, each with what it does: ``leave`` or ``fall back``."""
    gates = stage.config.get("gates") or {}
    does = {"leave": Text("leave"), "fall_back": Text("fall back")}
    return [{**gate, "does": said} for name, said in does.items() for gate in gates.get(name, ())]


def gate_text(gate: dict[str, Any]) -> str:
    """A gate as words, such as ``reward ≥ 0.9 for 3 steps``."""
    bound = str(Condition(gate["metric"], gate.get("above"), gate.get("below"), 1))
    steps = gate.get("steps", 1)
    return bound if steps == 1 else Text("{bound} for {steps} steps", bound=bound, steps=steps)


def meaning(metric: Metric) -> str:
    """What a metric is, without marks of code."""
    return metric.meaning.replace("`", "")


def _thresholds(stage: Stage, panel: Plot) -> Iterator[Rule]:
    """The gates that watch a metric of a panel, as horizontal lines."""
    for gate in _gates(stage):
        if gate["metric"] not in panel.metrics:
            continue
        for bound in (gate.get("above"), gate.get("below")):
            if bound is not None:
                yield Rule(Text("{does}: {gate}", does=gate["does"], gate=gate_text(gate)), y=bound)


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
        step, back = stage.ended["step"], stage.ended["kind"] == "fall_back"
        what = Text("fell back after step {step}", step=step) if back else Text("left after step {step}", step=step)
        yield Rule(what, x=step, colour=EVENT)
    if stage.ended.get("weights_after"):
        yield Rule(stage.kept, x=stage.ended["weights_after"], colour="#1f8a70")
