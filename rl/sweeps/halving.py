"""Runs of a sweep that are stopped early: asynchronous successive halving (ASHA, Li et al., arXiv:1810.05934) by the
scheduler of Ray Tune, over a metric of one stage.

After ``grace`` steps of the stage, and each time that the steps are ``reduction`` times as many, a run is compared with
those that have been there before. It goes on if it is among the best 1/``reduction`` of them; the first one always
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Literal

from typing_extensions import TypedDict

from rl.config.derive import logging_setting, task_weights
from rl.config.gate_conditions import gate_problems
from rl.config.schema import RunConfig
from rl.config.stages import Gate, GatesConfig, GRPOStage
from rl.errors import UserError
from rl.files import read_json, write_json
from rl.records.tracking import read_metrics

MARK = "stopped.json"
"""In the folder of a run that was stopped. Without it the same command goes on with the run."""


class Stopped(TypedDict):
    """What that file holds."""

    stage: str
    step: int
    """Steps of the stage that were made."""
    metric: str
    value: float


@dataclass(frozen=True)
class Goal:
    """What runs are compared by."""

    stage: str
    metric: str
    mode: Literal["max", "min"]
    steps: int
    """Of the stage, in the run that has most."""
    grace: int
    """Steps that every run makes."""
    reduction: int


def goal(
    configs: Sequence[RunConfig], stage: str | None, metric: str | None, mode: str | None, grace: int, reduction: int
) -> Goal:
    """What runs are compared by. Without ``stage`` it is the last GRPO stage of the first run; without ``metric`` that
    of the first gate by which it is left, in the direction in which it opens, and the reward if there is none.

    Raises:
        UserError: if a run has no such stage, its steps don't log the metric, or a number is not possible.
    """
    named = [one for one in configs[0].curriculum.stages if isinstance(one, GRPOStage) and stage in (None, one.name)]
    if not named:
        raise UserError(f"the curriculum has no GRPO stage {stage or ''}; correct hydra.launcher.stage")
    name = named[-1].name
    if metric is None and named[-1].gates.leave:
        gate = named[-1].gates.leave[0]
        metric, mode = gate.metric, mode or ("min" if gate.above is None else "max")
    metric, mode, steps = metric or "reward", mode or "max", 0
    if mode not in ("max", "min"):
        raise UserError(f"hydra.launcher.mode={mode} is neither max nor min")
    for config in configs:
        found = next((one for one in config.curriculum.stages if one.name == name), None)
        if not isinstance(found, GRPOStage):
            raise UserError(f"not every run of the sweep has the GRPO stage {name}; give another hydra.launcher.stage")
        asked = found.model_copy(update={"gates": GatesConfig(leave=(Gate(metric=metric, above=0.0),))})
        problems = gate_problems(logging_setting(config, asked), config.curriculum.stages, task_weights(config, found))
        if problems:
            raise UserError(problems[0].replace("gates", "hydra.launcher.metric", 1))
        steps = max(steps, found.steps)
    if not 1 <= grace < steps or reduction < 2:
        raise UserError(
            f"hydra.launcher.grace={grace} must be 1 to {steps - 1} (stage {name} has {steps} steps), and "
            f"hydra.launcher.reduction={reduction} at least 2"
        )
    return Goal(name, metric, "min" if mode == "min" else "max", steps, grace, reduction)


class Halving:
    """Which runs are stopped. What runs of an earlier start of the sweep have logged counts, too."""

    def __init__(self, goal: Goal, folders: Sequence[Path]) -> None:
        from ray.tune.schedulers import ASHAScheduler

        self.goal = goal
        self.stopped: dict[Path, Stopped] = {}
        """What was stopped, now or before."""
        self._fed = dict.fromkeys(folders, 0)
        self._sizes: dict[Path, int] = {}
        self._trials = {folder: SimpleNamespace(trial_id=str(folder)) for folder in folders}
        self._asha = ASHAScheduler(
            "step", goal.metric, goal.mode,
            max_t=goal.steps - 1,  # at the last step there is nothing to save
            grace_period=goal.grace, reduction_factor=goal.reduction, stop_last_trials=False,
        )  # fmt: skip
        for folder, trial in self._trials.items():
            self._asha.on_trial_add(None, trial)
            if (folder / MARK).is_file():
                self.stopped[folder] = read_json(folder / MARK, Stopped, "remove it", "why a run was stopped early")
        for folder in folders:
            self._feed(folder)

    def stops(self, folder: Path) -> bool:
        """Look at what a run has logged since the last time, and say whether it is to be stopped."""
        if folder not in self.stopped and (found := self._feed(folder)) is not None:
            self.stopped[folder] = found
            write_json(folder / MARK, found)
        return folder in self.stopped

    def value(self, folder: Path) -> float | None:
        """The metric of a run as of its last step: its mean over ``grace`` steps, since one step is noise."""
        values = self._values(folder)
        return fmean(values[-self.goal.grace :]) if values else None

    def best(self, folders: Sequence[Path]) -> Path | None:
        """The best of some runs; None if none has logged the metric."""
        sign = 1 if self.goal.mode == "max" else -1
        found = {folder: sign * value for folder in folders if (value := self.value(folder)) is not None}
        return max(found, key=lambda folder: found[folder], default=None)

    def _values(self, folder: Path) -> list[float]:
        lines = [one for one in read_metrics(folder / "metrics.jsonl") if one["stage"] == self.goal.stage]
        return [value for one in lines if (value := one.get(self.goal.metric)) is not None]

    def _feed(self, folder: Path) -> Stopped | None:
        path = folder / "metrics.jsonl"
        size = path.stat().st_size if path.is_file() else 0
        if size == self._sizes.get(folder, 0):
            return None
        self._sizes[folder] = size
        values = self._values(folder)
        for step in range(self._fed[folder] + 1, len(values) + 1):  # steps that are made again are not asked again
            self._fed[folder] = step
            value = fmean(values[max(0, step - self.goal.grace) : step])
            result = {"step": step, self.goal.metric: value}
            if self._asha.on_trial_result(None, self._trials[folder], result) == "STOP":
                return Stopped(stage=self.goal.stage, step=step, metric=self.goal.metric, value=value)
        return None
