"""The running system behind the stages: actors, and the verbs that stages are written in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from curricula.prompts import Prompt
from curricula.records import is_file
from curricula.sampler import Sampler
from rl.actors.group import TrainerGroup
from rl.config.derive import BatchNumbers, batch_numbers, reward_sum, task_weights
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, GRPOStage, RejectionStage
from rl.data.held_out import trained_on
from rl.driver.fleet import Fleet
from rl.driver.lineage import Lineage
from rl.driver.policy_backend import PolicyBackend
from rl.driver.scoring import GroupScorer
from rl.driver.stream import GroupStream, IssuedPrompt, StreamPlan
from rl.driver.updates import StepUpdate, shaped
from rl.errors import UserError
from rl.models.chat import render_prompt
from rl.models.control import encode
from rl.models.template import for_stage
from rl.records.checkpoint import Checkpoints
from rl.records.manifest import Manifest
from rl.records.tracking import Tracker
from rl.samples import Group, TokenBatch
from rl.seeds import stable_seed
from rl.weights.checks import SyncError

PARTS = 4
"""With periodic overlap a step's groups come in about so many parts from each engine; only training on the last part is
not overlapped."""


class Runtime:
    """One run's actors on Ray, and what a stage does with them.

    The driver holds token ids, rewards and metrics, never a tensor of model size.
    """

    def __init__(
        self,
        config: RunConfig,
        tokenizer: Any,
        manifest: Manifest,
        checkpoints: Checkpoints,
        tracker: Tracker,
        fleet: Fleet,
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.manifest = manifest
        self.checkpoints = checkpoints
        self.tracker = tracker
        self.run_dir = Path(config.run_dir)
        self.fleet = fleet
        self.lineage = Lineage(config, manifest, checkpoints, fleet)
        self.scorer = GroupScorer(config, tokenizer, fleet.rewards, fleet.judges, fleet.tell)

    @property
    def trainer(self) -> TrainerGroup:
        """The ranks that train the policy."""
        return self.fleet.trainer

    def close(self) -> None:
        """End every actor."""
        self.fleet.close()

    # --- weights --------------------------------------------------------------------------------------------------

    def weights_changed(self) -> None:
        """Note that the trainer's weights are newer than the rollout's."""
        self.fleet.weights.changed()

    def sync_weights(self) -> None:
        """Hand the trainer's weights to every rollout engine, if they have changed since the last time."""
        self.fleet.weights.push()

    def verify_parity(self, metrics: dict[str, float]) -> None:
        """With ``rollout.verify_sync``: stop the run if trainer and rollout disagree about the sampled tokens."""
        difference = metrics.get("log_prob_difference", 0.0)
        exact = self.fleet.device.exact and self.config.rollout.overlap != "async"
        allowed = self.fleet.weights.tolerance
        if self.config.rollout.verify_sync and exact and difference > allowed:
            raise SyncError(
                f"trainer and rollout log-probs of the sampled tokens differ by {difference:.2e} (allowed "
                f"{allowed:.1e}): the rollout does not run the weights that were published"
            )

    # --- verbs ----------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, with no special tokens around it and no control tokens in it."""
        return encode(self.tokenizer, text)

    def sampler(self, stage: RejectionStage | GRPOStage) -> Sampler:
        """The prompts of a stage, by number."""
        weights = task_weights(self.config, stage)
        held_out, difficulty = (stage.held_out, stage.difficulty) if isinstance(stage, GRPOStage) else (0, 0.0)
        pools = {source: trained_on(source, held_out) for source in weights if is_file(source)}
        return Sampler(weights, pools, self.config.seed, stage.name, difficulty)

    def stream(self, stage: RejectionStage | GRPOStage, sampler: Sampler) -> GroupStream:
        """The stage's groups, sampled and scored in the background. Only GRPO's are sampled ahead of updates."""
        config = self.config.rollout
        batch = batch_numbers(self.config, stage)
        algorithm = stage.algorithm if isinstance(stage, GRPOStage) else None
        staleness = config.max_staleness if algorithm and config.overlap == "async" else 0
        if staleness and self.fleet.takes_turns:
            raise UserError(
                "rollout.overlap=async needs GPUs of its own for the rollout: set cluster.placement=split, "
                "or rollout.overlap=periodic"
            )
        plan = StreamPlan(
            prompts_per_step=batch.prompts_per_step,
            steps=stage.steps_that_sample,
            samples=batch.samples_per_prompt,
            sampling=stage.sampling,
            staleness=staleness,
            parts=PARTS if config.overlap == "periodic" else 1,
            seed=stable_seed(self.config.seed, stage.name),
            timeout_s=config.timeout_s,
        )
        weights, tokenizer = reward_sum(self.config, stage), for_stage(self.tokenizer, self.config, stage)

        def draw(index: int, version: int) -> IssuedPrompt:
            prompt = sampler.at(index)
            ids = _prompt_ids(tokenizer, stage, prompt)
            return IssuedPrompt(index, f"{stage.name}-{index:07d}-{prompt.uid}", prompt, ids, version)

        def score(groups: Sequence[Group]) -> list[Group]:
            scored = self.scorer.score(groups, weights)
            return shaped(scored, stage.sampling.max_tokens, algorithm.overlong_buffer) if algorithm else scored

        return GroupStream(self.fleet.rollouts, draw, score, plan)

    def update(self, stage: GRPOStage, phase: Callable[[str], AbstractContextManager[None]]) -> StepUpdate:
        """The updates of one step; if trainer and rollout share a GPU, they wait for the last group."""
        batch = batch_numbers(self.config, stage)
        eager = self.config.rollout.overlap != "none" and not self.fleet.takes_turns
        return StepUpdate(
            stage, batch, self.trainer, lambda samples: self.reference_log_probs(samples, batch), phase, eager
        )

    def sampling_done(self) -> None:
        """Give a shared GPU to the trainer."""
        if self.fleet.takes_turns:
            self.fleet.sleep()
            self.fleet.weights.changed()

    def policy(self, stage: EvaluateStage, tokens: bool = False) -> PolicyBackend:
        """A backend that answers with the current policy; with ``tokens`` its answers hold their tokens. What the
        engines are sampling is dropped."""
        return PolicyBackend(
            self.fleet.rollouts,
            for_stage(self.tokenizer, self.config, stage),
            stage.sampling,
            stage.name,
            self.config.model.max_length,
            self.config.rollout.timeout_s,
            tokens,
            before=self.sync_weights,
            after=self.sampling_done,
        )

    def reference_log_probs(self, samples: TokenBatch, batch: BatchNumbers) -> np.ndarray:
        """Log-probs under the reference: the frozen engine, or with LoRA the policy without its adapter."""
        reference = self.fleet.reference
        if reference is None:
            return self.trainer.log_probs(
                samples, max_tokens_per_microbatch=batch.max_tokens_per_microbatch, adapter=False
            )
        return reference.log_probs(samples, max_tokens_per_microbatch=batch.max_tokens_per_microbatch)


def _prompt_ids(tokenizer: Any, stage: RejectionStage | GRPOStage, prompt: Prompt) -> list[int]:
    ids = render_prompt(tokenizer, prompt.messages)
    if len(ids) > stage.max_prompt_tokens:
        raise UserError(
            f"stage {stage.name}: prompt {prompt.uid} (task {prompt.task}) has {len(ids)} tokens, more "
            f"than max_prompt_tokens={stage.max_prompt_tokens}; raise the limit or take the prompt out"
        )
    return ids
