"""*Why is my reward flat?* What a stage's own numbers say, in sentences with the evidence and the key to change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rewards.registry import Part
from rl.language import Text
from rl.records.results import EvalResult
from rl.report.facts import LEVELS, Facts, Finding
from rl.report.read import Run, Stage
from rl.report.rejection import rejection
from rl.report.rules import RULES
from rl.report.supervised import supervised
from rl.report.trend import trend


def findings(run: Run, stage: Stage) -> list[Finding]:
    """What a training stage's numbers say, by its kind, and what it did to the held-out accuracy."""
    if stage.kind == "grpo":
        own = diagnose(stage, run.reward_parts(stage))
    else:
        own = rejection(stage) if stage.kind == "rejection" else supervised(stage)
    return by_urgency(own + held_out_accuracy(run.results, stage.name))


def held_out_accuracy(results: Sequence[EvalResult], stage: str) -> list[Finding]:
    """Accuracy after a stage against the evaluation before it, on the same split and tasks.

    The interval is that of a difference of independent shares (MOVER, Zou and Donner 2008). Where both were asked the
    same questions it is wider than necessary.
    """
    places = [place for place, result in enumerate(results) if result.after == stage]
    for place in places:
        after = results[place]
        asked = (after.split, set(after.per_task))
        earlier = [one for one in results[:place] if (one.split, set(one.per_task)) == asked and one.after != stage]
        if not earlier:
            continue
        before = earlier[-1]
        low, high = difference(before, after)
        figures = Text(
            "from {first:.1f} % after {after} to {last:.1f} % ({split}; {change:+.1f} points, 95 % interval "
            "{low:+.1f} to {high:+.1f})",
            first=100 * before.average,
            after=before.after,
            last=100 * after.average,
            split=after.split,
            change=100 * (after.average - before.average),
            low=100 * low,
            high=100 * high,
        )
        if low > 0:
            return [Finding("accuracy_rose", "good", Text("Held-out accuracy rose {figures}.", figures=figures))]
        if high < 0:
            fix = Text(
                "Lower optim.lr or steps; in a GRPO stage hold the policy with algorithm.kl_coef, or set replay."
            )
            return [
                Finding("accuracy_fell", "problem", Text("Held-out accuracy fell {figures}.", figures=figures), fix)
            ]
        return [
            Finding(
                "accuracy_same",
                "note",
                Text("Held-out accuracy went {figures}: no more than chance explains.", figures=figures),
            )
        ]
    return []


def difference(before: EvalResult, after: EvalResult) -> tuple[float, float]:
    """95 % interval of the change of the average accuracy."""
    (low_before, high_before), (low_after, high_after) = before.interval, after.interval
    change = after.average - before.average
    below = math.hypot(after.average - low_after, high_before - before.average)
    above = math.hypot(high_after - after.average, before.average - low_before)
    return change - below, change + above


def diagnose(stage: Stage, parts: Mapping[str, Part]) -> list[Finding]:
    """What the metrics of a GRPO stage say about its reward, the most pressing first.

    Args:
        stage: the stage, of kind ``grpo``.
        parts: its rewards by name, published totals written out.
    """
    facts = Facts(stage, parts, trend(stage.values("reward")))
    if not stage.lines:
        return [Finding("nothing", "note", Text("The stage has logged no step yet."))]
    found = [finding for rule in RULES for finding in rule(facts)]
    found += unexplained(facts, found)
    return by_urgency(found)


def by_urgency(found: list[Finding]) -> list[Finding]:
    """Findings with the most pressing first."""
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def unexplained(facts: Facts, found: list[Finding]) -> list[Finding]:
    """What to do about a flat reward that no rule explains."""
    if not facts.reward.flat or any(finding.level in ("problem", "warning") for finding in found[1:]):
        return []
    text = Text(
        "None of the known causes shows: groups differ in reward, gradients are finite and applied, and "
        "sampler and trainer agree. What is left is noise, or a rise too slow for this number of steps."
    )
    return [Finding("noise", "note", text, Text("Raise prompts_per_step (less noise) or steps; then optim.lr."))]
