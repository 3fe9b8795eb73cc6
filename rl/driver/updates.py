"""From scored groups to the optimizer updates of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from rl.actors.group import TrainerGroup
from rl.config.derive import BatchNumbers
from rl.config.metrics import OVERLONG
from rl.config.stages import GRPOStage
from rl.samples import Group, TokenBatch, policy_batch

PARITY = ("log_prob_difference", "mismatch_kl", "token_mult_prob_error", "ratio_p99")
"""Metrics that compare the trainer's log-probs with the sampler's."""


class StepUpdate:
    """The updates of one step. Groups are trained on as they come if the algorithm allows it.

    That needs one update per step and advantages that depend on their own group alone. Gradients then add up part by
    part and are divided at the end, which gives the same update as all groups at once.
    """

    def __init__(
        self,
        stage: GRPOStage,
        batch: BatchNumbers,
        trainer: TrainerGroup,
        reference: Callable[[TokenBatch], np.ndarray],
        phase: Callable[[str], AbstractContextManager[None]],
        eager: bool,
    ) -> None:
        """``reference`` computes reference log-probs; without ``eager`` training starts in :meth:`finish`."""
        self.stage, self.batch, self.trainer = stage, batch, trainer
        self.reference, self.phase = reference, phase
        self.eager = eager and batch.updates_per_step == 1 and not stage.algorithm.whole_batch
        self.parts: list[list[Group]] = []
        """All groups of the step, in the parts in which they came."""
        self._begun = False

    @property
    def groups(self) -> list[Group]:
        """All groups of the step."""
        return [group for part in self.parts for group in part]

    @property
    def admitted(self) -> list[Group]:
        """Groups that are trained on."""
        return [group for group in self.groups if self.stage.algorithm.admits(group)]

    def add(self, groups: list[Group]) -> None:
        """Take a part of the step's groups."""
        self.parts.append(groups)
        if self.eager:
            self._accumulate(groups)

    def finish(self) -> dict[str, float]:
        """Make the updates and return their metrics; nothing if no group was admitted."""
        if self.batch.updates_per_step == 1:
            if not self.eager:
                self._accumulate(self.groups)
            if not self._begun:
                return {}
            with self.phase("train"):
                return self.trainer.step()
        if not self.admitted:
            return {}
        samples = self._batch(self.admitted)
        if self.stage.algorithm.old_log_probs == "recompute":
            with self.phase("old"):
                old = self.trainer.log_probs(samples, max_tokens_per_microbatch=self.batch.max_tokens_per_microbatch)
                samples = samples.with_field("old_log_probs", old)
        updates = []
        assert samples.groups is not None
        for rows in minibatches(samples.groups, self.batch.updates_per_step):
            with self.phase("train"):
                updates.append(self.trainer.update(samples, self.stage.algorithm, **self._limits(), rows=rows))
        return update_metrics(updates)

    def _accumulate(self, groups: list[Group]) -> None:
        admitted = [group for group in groups if self.stage.algorithm.admits(group)]
        if not admitted:
            return
        samples = self._batch(admitted)
        with self.phase("train"):
            self.trainer.accumulate(samples, self.stage.algorithm, **self._limits())
        self._begun = True

    def _limits(self) -> dict[str, int]:
        return {
            "max_tokens_per_microbatch": self.batch.max_tokens_per_microbatch,
            "max_completion_tokens": self.stage.sampling.max_tokens,
        }

    def _batch(self, groups: list[Group]) -> TokenBatch:
        samples = policy_batch(groups, self.stage.sampling.temperature)
        if self.stage.algorithm.kl_coef > 0:
            with self.phase("reference"):
                samples = samples.with_field("ref_log_probs", self.reference(samples))
        return samples


def minibatches(groups: np.ndarray, updates: int) -> list[list[int]]:
    """The rows of each update of a step, from the group of each row. Groups stay whole; with fewer groups than updates
    there are fewer updates."""
    shares = [np.flatnonzero(groups % updates == number).tolist() for number in range(updates)]
    return [rows for rows in shares if rows]


def update_metrics(updates: list[dict[str, float]]) -> dict[str, float]:
    """Means over the updates of a step (one NaN makes a NaN), and the last learning rate.

    Metrics that compare trainer and sampler come from the first update, the only one with the weights that sampled.
    """
    if not updates:
        return {}
    means = {name: mean(update[name] for update in updates) for name in updates[0]}
    return means | {name: updates[0][name] for name in PARITY} | {"lr": updates[-1]["lr"]}


def shaped(groups: Iterable[Group], longest: int, buffer: int) -> list[Group]:
    """Groups whose rewards fall by up to 1 over the last ``buffer`` of ``longest`` tokens (DAPO, eq. 13).

    What a reward falls by is one more part of it, ``overlong``, with weight 1.
    """
    return [_shaped(group, longest, buffer) if buffer and group.error is None else group for group in groups]


def _shaped(group: Group, longest: int, buffer: int) -> Group:
    lost = [overlong(len(completion.token_ids), longest, buffer) for completion in group.completions]
    rewards = [reward - less for reward, less in zip(group.rewards, lost, strict=True)]
    parts = [{**part, OVERLONG: 0.0 - less} for part, less in zip(group.parts, lost, strict=True)]  # 0 without a sign
    return replace(group, rewards=rewards, parts=parts)


def overlong(length: int, longest: int, buffer: int) -> float:
    """DAPO's soft punishment: 0 up to ``longest - buffer`` tokens, then linear to 1 at ``longest``."""
    return min(1.0, max(0.0, (length - (longest - buffer)) / buffer))


def mean(values: Iterable[float]) -> float:
    """The mean; 0 if there are no values."""
    found = list(values)
    return sum(found) / max(1, len(found))
