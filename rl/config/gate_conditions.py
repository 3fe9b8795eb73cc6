"""Gates of the configuration as conditions of the curriculum library, and whether they can be judged at all."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from curricula.gates import Condition
from rl.config.metric import LoggingSetting
from rl.config.metrics import of_kind
from rl.config.stages import EvaluateStage, Gate, GRPOStage, Stage


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


def gate_problems(setting: LoggingSetting, stages: tuple[Stage, ...], tasks: Iterable[str]) -> list[str]:
    """What is wrong with a GRPO stage's gates: a metric that its steps don't log, or that the evaluation before it
    doesn't give.

    Args:
        setting: the stage and what else decides which metrics it logs.
        stages: all stages of the curriculum.
        tasks: sources of the stage's prompts.
    """
    stage = setting.stage
    problems = _step_problems(setting, [task.rsplit("/", 1)[-1] for task in tasks])
    if not stage.gates.enter:
        return problems
    before = last_evaluation(stages, stage.name)
    if before is None:
        return [*problems, "gates.enter needs an evaluate stage before this one"]
    if not (before.tasks or before.data):
        return [*problems, f"gates.enter needs accuracies, but the evaluation {before.name} has only benchmarks"]
    given = [name for metric in of_kind("evaluate") for name in metric.names({"task": before.tasks})]
    for gate in stage.gates.enter:
        of_a_file = before.data is not None and gate.metric.startswith("accuracy/")  # whose tasks are not known yet
        if gate.metric not in given and not of_a_file:
            problems.append(_unknown(gate, given, f"a result of the evaluation {before.name}"))
    return problems


def _step_problems(setting: LoggingSetting, tasks: list[str]) -> list[str]:
    stage: GRPOStage = setting.stage
    values = {"task": tasks, "reward": setting.rewards}
    logged: list[str] = []
    off: dict[str, str] = {}
    for metric in of_kind("grpo"):
        names = metric.names(values)
        if metric.logged(setting):
            logged += names
        elif metric.when is not None:
            off |= dict.fromkeys(names, metric.when.text.replace("`", ""))
    what, problems = "a metric of this stage's steps", []
    for gate in (*stage.gates.leave, *stage.gates.fall_back):
        if gate.metric in logged:
            continue
        if gate.metric in off:
            problems.append(f"gates: {gate.metric} is not {what}; it needs {off[gate.metric]}")
        else:
            problems.append(_unknown(gate, logged, what))
    return problems


def _unknown(gate: Gate, names: list[str], what: str) -> str:
    near = get_close_matches(gate.metric, names, n=1, cutoff=0.0)
    return f"gates: {gate.metric} is not {what}; did you mean {near[0]}?"
