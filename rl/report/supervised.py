"""What the loss of a mid-training or SFT stage says."""

from __future__ import annotations

from rl.language import Text
from rl.report.facts import Finding
from rl.report.read import Stage
from rl.report.trend import LEAST_STEPS, trend

OVERFIT = 0.02
"""Rise of the held-out loss over its lowest, as a share of it, that is more than rounding."""
FORGETS = 0.05
"""Rise of a held-out perplexity, as a share of it, that counts as forgetting."""


def supervised(stage: Stage) -> list[Finding]:
    """What the metrics of a mid-training or SFT stage say: whether the loss falls, on held-out text too."""
    if not stage.lines:
        return [Finding("nothing", "note", Text("The stage has logged no step yet."))]
    return not_finite(stage) + _loss(stage) + _held_out(stage) + _perplexity(stage)


def not_finite(stage: Stage) -> list[Finding]:
    """Steps whose loss or gradient was not finite."""
    bad = sum(value > 0 for value in stage.values("bad_updates"))
    if not bad:
        return []
    text = Text(
        "In {bad} of {steps} steps loss or gradient was not finite: no update was made.",
        bad=bad,
        steps=len(stage.lines),
    )
    return [Finding("not_finite", "problem", text, Text("Lower optim.lr (now {lr:.1e}).", lr=_rate(stage)))]


def _rate(stage: Stage) -> float:
    return float(stage.config.get("optim", {}).get("lr", 0.0))


def _loss(stage: Stage) -> list[Finding]:
    found, lr = trend(stage.values("loss")), _rate(stage)
    figures = Text(
        "{first:.3f} in the first {window} steps, {last:.3f} in the last {window}",
        first=found.first,
        window=found.window,
        last=found.last,
    )
    if not found.long_enough:
        text = Text(
            "Only {steps} steps: with fewer than {least} a trend can't be distinguished from noise.",
            steps=found.steps,
            least=LEAST_STEPS,
        )
        return [Finding("short", "note", text, Text("Raise the stage's steps."))]
    if found.falls:
        return [Finding("loss_falls", "good", Text("The loss falls: {figures}.", figures=figures))]
    if found.rises:
        fix = Text("Lower optim.lr (now {lr:.1e}) or raise optim.warmup_steps.", lr=lr)
        return [Finding("loss_rises", "problem", Text("The loss rises: {figures}.", figures=figures), fix)]
    fix = Text("Raise optim.lr (now {lr:.1e}) by a factor of 3 to 10, unless the loss is as low as it gets.", lr=lr)
    return [Finding("loss_flat", "warning", Text("The loss is flat: {figures}.", figures=figures), fix)]


def _held_out(stage: Stage) -> list[Finding]:
    steps, losses = stage.series("held_out_loss")
    if len(losses) < 2:
        return []
    best, last = min(losses), losses[-1]
    at = steps[losses.index(best)]
    if last <= best * (1 + OVERFIT):
        return [
            Finding(
                "held_out",
                "good",
                Text("The held-out loss ends at {last:.3f}, near its lowest ({best:.3f}).", last=last, best=best),
            )
        ]
    kept = stage.kept
    after = Text("; {kept}", kept=kept) if kept else ""
    text = Text(
        "The held-out loss was lowest after step {at} ({best:.3f}) and rose to {last:.3f}: the rest overfits{after}.",
        at=at,
        best=best,
        last=last,
        after=after,
    )
    fix = Text("Lower steps or optim.lr, or give it more demonstrations.")
    return [Finding("overfit", "note" if kept else "warning", text, fix)]


def _perplexity(stage: Stage) -> list[Finding]:
    found = []
    for metric in stage.metrics:
        values = stage.values(metric) if metric.startswith("perplexity/") else []
        if len(values) < 2:
            continue
        kind, first, last = metric.removeprefix("perplexity/"), values[0], values[-1]
        figures = Text("{first:.2f} before, {last:.2f} after the stage", first=first, last=last)
        if last > first * (1 + FORGETS):
            text = Text(
                "Held-out {kind} text got harder for the model (perplexity {figures}): it is being forgotten.",
                kind=kind,
                figures=figures,
            )
            fix = Text("Raise the weight of {kind} sources in corpus, or lower optim.lr.", kind=kind)
            found.append(Finding(f"forgets_{kind}", "warning", text, fix))
        elif last < first:
            found.append(
                Finding(
                    f"learns_{kind}",
                    "good",
                    Text("Held-out {kind} text got easier: perplexity {figures}.", kind=kind, figures=figures),
                )
            )
    return found
