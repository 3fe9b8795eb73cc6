"""What a stage of rejection sampling says: whether its rounds give more right answers, and how many it learns from."""

from __future__ import annotations

import math

from rl.language import Text, listed
from rl.report.facts import Finding, percent
from rl.report.read import Line, Stage
from rl.report.supervised import not_finite

MANY_PASSES = 10.0
"""Passes over a round's answers from which it learns them by heart rather than from them."""
FEW_SOLVED = 0.1
SURE = 2.0
"""Standard errors that two shares must differ by to count as different."""


def rejection(stage: Stage) -> list[Finding]:
    """What the metrics of a rejection stage say, round by round."""
    rounds = [lines for number in range(stage.config["rounds"]) if (lines := _sampled(stage, number))]
    if not rounds:
        return [Finding("nothing", "note", Text("The stage has logged no step yet."))]
    return not_finite(stage) + _course(rounds) + _solved(rounds[-1]) + _passes(stage)


def _sampled(stage: Stage, number: int) -> list[Line]:
    return [line for line in stage.lines if line.get("round") == number and "answers/right" in line]


def _mean(lines: list[Line], metric: str) -> float:
    return math.fsum(line[metric] for line in lines) / len(lines)


def _course(rounds: list[list[Line]]) -> list[Finding]:
    """Whether the last round's answers are right more often than the first's. Groups count as independent, not their
    completions, which are of one prompt."""
    shares = [_mean(lines, "answers/right") for lines in rounds]
    figures = listed(
        [
            Text("{share} in round {number}", share=percent(share), number=number)
            for number, share in enumerate(shares, 1)
        ]
    )
    if len(rounds) == 1:
        return [Finding("one_round", "note", Text("Right answers: {figures}.", figures=figures))]
    groups = [max(1.0, math.fsum(line["groups/sampled"] for line in lines)) for lines in (rounds[0], rounds[-1])]
    error = math.sqrt(sum(p * (1 - p) / n for p, n in zip((shares[0], shares[-1]), groups, strict=True)))
    change = shares[-1] - shares[0]
    if change > SURE * error:
        return [
            Finding(
                "right_rises",
                "good",
                Text("The policy is right more often from round to round: {figures}.", figures=figures),
            )
        ]
    if change < -SURE * error:
        fix = Text("Lower optim.lr or training_steps, or raise sampling_steps: it forgets more than it learns.")
        return [
            Finding("right_falls", "problem", Text("The policy is right less often: {figures}.", figures=figures), fix)
        ]
    fix = Text("Raise sampling_steps or optim.lr, or leave out rounds that bring nothing.")
    return [
        Finding(
            "right_flat",
            "warning",
            Text("The rounds do not differ by more than chance: {figures}.", figures=figures),
            fix,
        )
    ]


def _solved(last: list[Line]) -> list[Finding]:
    share = _mean(last, "groups/solved")
    if share >= FEW_SOLVED:
        return []
    text = Text(
        "In the last round only {share} of the prompts had a right answer: it learns from the easiest.",
        share=percent(share),
    )
    return [Finding("few_solved", "warning", text, Text("Raise samples_per_prompt, or train more before this stage."))]


def _passes(stage: Stage) -> list[Finding]:
    most = max(stage.values("passes"), default=0.0)
    if most <= MANY_PASSES:
        return []
    text = Text("A round trains up to {most:.0f} times on each of its answers.", most=most)
    return [Finding("many_passes", "warning", text, Text("Lower training_steps, or raise sampling_steps."))]
