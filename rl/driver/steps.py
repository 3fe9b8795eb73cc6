"""The bookkeeping of a training loop: where it resumes, what it logs, when it saves, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rl.config.stages import GRPOStage, MidTrainingStage, OptimConfig, RejectionStage, SFTStage
from rl.driver.runtime import Runtime
from rl.driver.stopping import stop
from rl.errors import UserError
from rl.records.checkpoint import Checkpoint
from rl.records.rollouts import rows
from rl.samples import Group

TrainingStage = MidTrainingStage | SFTStage | RejectionStage | GRPOStage


class Stateful(Protocol):
    """Something whose state belongs in a checkpoint."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Step:
    """One step of a training loop."""

    def __init__(self, loop: StepLoop, number: int) -> None:
        self.loop = loop
        self.number = number
        """0-based number of the step in its stage."""

    @property
    def last(self) -> bool:
        """Whether the stage has no further step."""
        return self.number == self.loop.stage.steps - 1

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Time a part of the step."""
        return self.loop.runtime.tracker.phase(name)

    def dump(self, parts: list[list[Group]], metrics: dict[str, float]) -> None:
        """Write the step's groups to the rollout files, for tools.rollouts and tools.replay. A step with non-finite
        metrics is always written."""
        tracker = self.loop.runtime.tracker
        if tracker.config.dump_rollouts or not finite(metrics):
            found = [row for number, part in enumerate(parts) for group in part for row in rows(group, number)]
            tracker.dump_groups(self.loop.stage.name, self.number, found)

    def bad_updates(self, metrics: dict[str, float]) -> int:
        """Steps in a row with an update that was not finite, up to this one, whose ``metrics`` these are."""
        return self.loop.bad_after(metrics)

    def end_stage(self, kind: str, why: str, weights_after: int | None = None) -> None:
        """Make this the last step of its stage. The stage then leaves the weights after ``weights_after`` steps: 0 for
        those that it started from, None for those of this step.
        """
        self.loop.ending = {"step": self.number + 1, "kind": kind, "why": why, "weights_after": weights_after}

    def finish(
        self,
        metrics: dict[str, float],
        score: float | None,
        sampler_busy_s: float | None = None,
        save: bool = False,
        trained: bool = True,
    ) -> None:
        """Log the step and save a checkpoint if one is due.

        Args:
            metrics: what is logged.
            score: of the checkpoint; the one with the highest is kept as best.
            sampler_busy_s: seconds that the rollout engines have been busy since the stage began.
            save: save a checkpoint now.
            trained: whether it is a step that may change the weights.
        """
        if trained:
            self.loop.trained(metrics)
        self.loop.finish(self.number, metrics, score, sampler_busy_s, save)


class StepLoop:
    """Iterates over the steps of a stage from its last checkpoint on, until all are done or the stage ends."""

    def __init__(
        self, stage: TrainingStage, runtime: Runtime, optim: OptimConfig, updates: int, state: dict[str, Stateful]
    ):
        self.stage, self.runtime, self.state = stage, runtime, state
        self.bad_updates = 0
        """Steps in a row, up to the last, with an update that was not finite."""
        self.ending: dict[str, Any] | None = None
        """How the stage ended before its last step."""
        self.start = self._restore(optim, updates)

    def __iter__(self) -> Iterator[Step]:
        tracker, within_s = self.runtime.tracker, self.runtime.config.trainer.stop_within_s
        with tracker.stage(self.stage.name, total=self.stage.steps, start=self.start), stop.after_steps(within_s):
            for number in range(self.start, self.stage.steps):
                if self.ending is not None:
                    break
                yield Step(self, number)
        if self.ending is not None:
            self._conclude(self.ending)

    def _conclude(self, ending: dict[str, Any]) -> None:
        """Record how the stage ended and bring the trainer to the weights that it leaves."""
        name, after = self.stage.name, ending["weights_after"]
        self.runtime.manifest.record(name, ended=ending)
        if after is not None:
            self.runtime.lineage.load_after(name)
        if ending["kind"] != "best":
            step = f"after step {ending['step']} of {self.stage.steps}"
            self.runtime.tracker.console.print(f"stage {name} ends {step} ({ending['kind']}): {ending['why']}")

    def _restore(self, optim: OptimConfig, updates: int) -> int:
        """Bring trainer, state and tracker to the last checkpoint of the stage; returns the next step."""
        runtime, name = self.runtime, self.stage.name
        checkpoint = runtime.checkpoints.latest(name)
        driver = prepare_trainer(runtime, name, optim, updates, checkpoint)
        if driver is None:
            return 0
        if set(driver["state"]) != set(self.state):
            raise UserError(
                f"the checkpoint of stage {name} after step {driver['step']} holds the state of "
                f"{sorted(driver['state'])}, not {sorted(self.state)}"
            )
        for key, part in self.state.items():
            part.load_state_dict(driver["state"][key])
        runtime.tracker.load_state_dict(driver["tracker"])
        runtime.tracker.drop(name, driver["step"])
        self.bad_updates, self.ending = driver["bad_updates"], driver.get("ending")
        runtime.tracker.console.print(f"stage {name} goes on after step {driver['step']} of {self.stage.steps}")
        return int(driver["step"])

    def trained(self, metrics: dict[str, float]) -> None:
        """Note that a step may have changed the weights, or had an update that was not finite."""
        self.runtime.weights_changed()
        self.bad_updates = self.bad_after(metrics)

    def finish(
        self, number: int, metrics: dict[str, float], score: float | None, sampler_busy_s: float | None, save: bool
    ) -> None:
        """Log the step, stop after too many non-finite updates, save if due or if the run was asked to end."""
        runtime = self.runtime
        metrics = metrics | {"bad_updates": float(self.bad_updates)}
        runtime.tracker.log(self.stage.name, number, metrics, sampler_busy_s)
        if self.bad_updates >= runtime.config.trainer.max_bad_updates:
            raise UserError(
                f"stage {self.stage.name}: {self.bad_updates} updates in a row had a non-finite gradient (the last at "
                f"step {number}); every one was skipped. Lower optim.lr, or look at the batch with "
                f"python -m tools.rollouts {runtime.run_dir}"
            )
        done = number + 1
        over = done == self.stage.steps or self.ending is not None
        asked = stop.asked
        if save or over or asked or done % runtime.config.trainer.checkpoint_every == 0:
            with runtime.tracker.phase("checkpoint"):
                self._save(done, None if self.bad_updates else score)
        if asked:
            stop.end()

    def bad_after(self, metrics: dict[str, float]) -> int:
        """:attr:`bad_updates` after a step with these metrics."""
        return 0 if finite(metrics) else self.bad_updates + 1

    def _save(self, done: int, score: float | None) -> None:
        runtime = self.runtime
        runtime.checkpoints.save(
            self.stage.name,
            done,
            lambda folder: runtime.trainer.call("save", str(folder.resolve())),
            {
                "state": {key: part.state_dict() for key, part in self.state.items()},
                "tracker": runtime.tracker.state_dict(),
                "bad_updates": self.bad_updates,
                "ending": self.ending,
            },
            score,
        )


def prepare_trainer(
    runtime: Runtime, name: str, optim: OptimConfig, updates: int, checkpoint: Checkpoint | None
) -> dict[str, Any] | None:
    """Bring the trainer to a checkpoint of a stage and return the driver's part of it; without a checkpoint bring it to
    the start of the stage and return None."""
    if checkpoint is None:
        runtime.lineage.load_before(name)
        runtime.trainer.begin_stage(optim, updates)
        runtime.lineage.begin_training()
        return None
    driver = runtime.checkpoints.driver(checkpoint)
    runtime.trainer.begin_stage(optim, updates)
    runtime.trainer.call("load", str(checkpoint.engine.resolve()), weights_only=False)
    runtime.weights_changed()
    runtime.lineage.begin_training()
    return driver


def finite(metrics: dict[str, float]) -> bool:
    """Whether loss and gradient of a step are finite."""
    return all(math.isfinite(metrics.get(name, 0.0)) for name in ("grad_norm", "loss"))
