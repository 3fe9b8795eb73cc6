"""Gates of the configuration as conditions of the curriculum library, and whether they can be judged at all."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from curricula.gates import Condition
from rl.config.stages import EvaluateStage, Gate, GRPOStage, Stage

STEP_METRICS = (
    "reward", "completion_length", "completion_tokens", "truncated", "groups/zero_variance", "groups/errored",
    "groups/trained", "entropy", "loss", "grad_norm", "log_prob_difference", "mismatch_kl",
)  # fmt: skip
"""Metrics that every GRPO step logs, or every one that trained on a group."""


def conditions(gates: Iterable[Gate]) -> tuple[Condition, ...]:
    """The conditions of gates."""
    return tuple(Condition(gate.metric, gate.above, gate.below, gate.steps) for gate in gates)


def last_evaluation(stages: Iterable[Stage], name: str) -> EvaluateStage | None:
    """The last evaluation before a stage."""
    found = None
    for stage in stages:
        if stage.name == name:
            break
        if isinstance(stage, EvaluateStage):
            found = stage
    return found


def gate_problems(
    stage: GRPOStage, stages: tuple[Stage, ...], tasks: Iterable[str], rewards: Iterable[str]
) -> list[str]:
    """What is wrong with a stage's gates: a metric that no step logs, or that no evaluation before it gives.

    Args:
        stage: the stage.
        stages: all stages of the curriculum.
        tasks: sources of the stage's prompts.
        rewards: names of the stage's reward parts.
    """
    shown = [task.rsplit("/", 1)[-1] for task in tasks]
    known = [f"task/{task}/{what}" for task in shown for what in ("accuracy", "reward")]
    known += [*STEP_METRICS, *(f"reward/{name}" for name in rewards)] + (["kl"] if stage.algorithm.kl_coef else [])
    watched = [(gate, known, "a metric of this stage's steps") for gate in (*stage.gates.leave, *stage.gates.fall_back)]
    if stage.gates.enter:
        before = last_evaluation(stages, stage.name)
        if before is None:
            return ["gates.enter needs an evaluate stage before this one"]
        given = ["accuracy", "format", *(f"accuracy/{task}" for task in before.tasks)]
        watched += [(gate, given, f"a result of the evaluation {before.name}") for gate in stage.gates.enter]
    problems = []
    for gate, names, what in watched:
        if gate.metric not in names and not (what.startswith("a result") and gate.metric.startswith("accuracy/")):
            near = get_close_matches(gate.metric, names, n=1, cutoff=0.0)
            problems.append(f"gates: {gate.metric} is not {what}; did you mean {near[0]}?")
    return problems
