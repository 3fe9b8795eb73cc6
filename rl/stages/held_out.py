"""Held-out accuracy in the course of a GRPO stage, and which weights the stage may therefore end with."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from curricula.sampler import require_keys
from rl.config.derive import reward_sum, task_weights
from rl.config.stages import EvaluateStage, GRPOStage, SamplingConfig
from rl.data.held_out import questions
from rl.driver.runtime import Runtime
from rl.driver.scoring import refuse_unscored
from rl.driver.steps import Step
from rl.samples import Group, solved
from rl.stages.evaluate import answer

RECORD = "held_out"
"""Key of a stage's record in the manifest: accuracy of each source when the stage began."""


class Guard:
    """The highest mean accuracy so far, and after how many steps it was measured.

    Weights count only where no source is below its floor, and only from then on can the stage end with them.
    """

    def __init__(self) -> None:
        self.floor: dict[str, float] = {}
        """Lowest accuracy of each source with which weights count; empty before the stage begins."""
        self.accuracy, self.step = 0.0, 0

    def begin(self, now: Mapping[str, float], earlier: Sequence[Mapping[str, float]], may_lose: float) -> None:
        """Take the weights that the stage begins with.

        Args:
            now: accuracy of each source with them.
            earlier: the same when earlier stages began, in their order.
            may_lose: how far a source may fall below the first of these. What a later stage began with does not count:
                a task that has risen may give some of it back for the others.
        """
        first = {
            source: next((one[source] for one in earlier if source in one), found) for source, found in now.items()
        }
        self.floor = {source: found - may_lose for source, found in first.items()}
        self.accuracy = statistics.fmean(now.values())

    def offer(self, now: Mapping[str, float], step: int) -> bool:
        """Note a measurement after ``step`` steps; returns whether it is the best so far."""
        mean = statistics.fmean(now.values())
        if mean <= self.accuracy or self.fallen(now):
            return False
        self.accuracy, self.step = mean, step
        return True

    def fallen(self, now: Mapping[str, float]) -> list[str]:
        """Sources below their floor."""
        return [source for source, found in now.items() if found < self.floor[source] - 1e-9]

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"floor": dict(self.floor), "accuracy": self.accuracy, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        require_keys("held-out accuracy", state, self.state_dict())
        self.floor, self.accuracy, self.step = dict(state["floor"]), state["accuracy"], state["step"]


class HeldOut:
    """The held-out questions of a stage. Without any, nothing is measured and the stage keeps its last weights."""

    def __init__(self, stage: GRPOStage, runtime: Runtime) -> None:
        self.stage, self.runtime, self.guard = stage, runtime, Guard()
        sources = task_weights(runtime.config, stage) if stage.held_out else {}
        found = {source: questions(source, stage.held_out) for source in sources}
        self.questions = {source: prompts for source, prompts in found.items() if prompts}
        self.rewards = reward_sum(runtime.config, stage)
        self._measured = 0
        """After how many steps it was measured last."""

    def before(self, step: Step) -> dict[str, float]:
        """Before the first step of the stage: the accuracies from which the floors follow, as metrics."""
        if not self.questions or self.guard.floor:
            return {}
        now, manifest = self._measure(step), self.runtime.manifest
        names = [one.name for one in self.runtime.config.curriculum.stages]
        earlier = [manifest.stage(name).get(RECORD, {}) for name in names[: names.index(self.stage.name)]]
        self.guard.begin(now, earlier, self.stage.may_lose)
        manifest.record(self.stage.name, **{RECORD: now})
        return _named("held_out_before", now)

    def after(self, step: Step, ends: bool = False) -> dict[str, float]:
        """Metrics of the accuracy after a step's update, where it is due or the stage ``ends`` with the step; nothing
        where that has been measured."""
        done = step.number + 1
        due = ends or step.last or done % self.stage.held_out_every == 0
        if not self.questions or not due or self._measured == done:
            return {}
        self._measured, now = done, self._measure(step)
        if self.guard.offer(now, done):
            return _named("held_out", now)
        if fallen := self.guard.fallen(now):
            lost = " and ".join(f"{source} {now[source]:.3f} < {self.guard.floor[source]:.3f}" for source in fallen)
            self._say(f"the weights after step {done} don't count: {lost}")
        return _named("held_out", now)

    def best_at(self, step: Step) -> bool:
        """Whether the weights after a step are the best so far."""
        return self.guard.step == step.number + 1

    def score(self, step: Step, otherwise: float) -> float | None:
        """Score of a step's checkpoint: the accuracy where it is the best, ``otherwise`` where nothing is measured."""
        if not self.questions:
            return otherwise
        return self.guard.accuracy if self.best_at(step) else None

    def conclude(self, step: Step) -> None:
        """Let the stage end with the best weights."""
        guard = self.guard
        if self.questions and guard.step <= step.number:
            at = f"after step {guard.step}" if guard.step else "at its start"
            why = f"held-out accuracy {guard.accuracy:.4f} {at}"
            self._say(f"it ends with the weights of its highest {why}")
            step.end_stage("best", why, weights_after=guard.step)

    def _say(self, text: str) -> None:
        self.runtime.tracker.console.print(f"stage {self.stage.name}: {text}", soft_wrap=True)

    def _measure(self, step: Step) -> dict[str, float]:
        """How far the policy's greedy answers are right, by source.

        Raises:
            UserError: if no answer to the questions of a source could be scored.
        """
        stage, runtime = self.stage, self.runtime
        greedy = SamplingConfig(temperature=0.0, max_tokens=stage.sampling.max_tokens)
        asks = EvaluateStage(
            name=stage.name, kind="evaluate", tasks=tuple(self.questions), split="dev", sampling=greedy,
            chat_template_kwargs=stage.chat_template_kwargs,
        )  # fmt: skip
        prompts = [prompt for given in self.questions.values() for prompt in given]
        sources = [source for source, given in self.questions.items() for _ in given]
        with step.phase("held_out"):
            groups = runtime.scorer.score(
                answer(asks, prompts, runtime.policy(asks, tokens=True), runtime), self.rewards
            )
        mine: dict[str, list[Group]] = defaultdict(list)
        for source, group in zip(sources, groups, strict=True):
            mine[source].append(group)
        for source, asked in mine.items():
            refuse_unscored(asked, f"stage {stage.name}: held-out questions of {source}")
        return {
            source: statistics.fmean(right for group in asked if group.error is None for right in solved(group))
            for source, asked in mine.items()
        }


def _named(name: str, found: Mapping[str, float]) -> dict[str, float]:
    return {
        f"{name}/accuracy": statistics.fmean(found.values()),
        **{f"{name}/accuracy/{source.rsplit('/', 1)[-1]}": value for source, value in found.items()},
    }
