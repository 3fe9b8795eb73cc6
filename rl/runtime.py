"""The running system behind the stages: actors, and the verbs that stages are written in."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray

from cluster.health import Supervised
from cluster.placement import reserve
from curricula.prompts import Prompt
from rewards.verdict import Sample, Verdict
from rl.actors import rollout as rollout_actor
from rl.actors.group import TrainerGroup
from rl.actors.reward import RewardActor
from rl.actors.rollout import RolloutActor, RolloutSpec
from rl.actors.trainer import TrainerSpec
from rl.checkpoint import Checkpoints
from rl.config.derive import BatchNumbers
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, GRPOStage
from rl.errors import UserError
from rl.manifest import Manifest
from rl.models.chat import render_prompt
from rl.samples import Completion, Group, TokenBatch
from rl.tracking import Tracker
from rl.weights import WeightUpdate, shared_file

PARITY_TOLERANCE = 1e-4
"""Largest difference of trainer and rollout log-probs in fp32 (nats)."""


class Runtime:
    """One run's actors on Ray, and what a stage does with them.

    The driver holds token ids, rewards and metrics, never a tensor of model size.
    """

    def __init__(
        self,
        config: RunConfig,
        model_path: str,
        tokenizer: Any,
        manifest: Manifest,
        checkpoints: Checkpoints,
        tracker: Tracker,
    ) -> None:
        self.config = config
        self.model_path = model_path
        self.tokenizer = tokenizer
        self.manifest = manifest
        self.checkpoints = checkpoints
        self.tracker = tracker
        self.run_dir = Path(config.run_dir)
        self.device = _device(config)
        self.weights_from: str | None = None
        self._reference_from: str | None = None
        self._version = 0
        self._published: WeightUpdate | None = None
        run_id = hashlib.sha256(str(self.run_dir.resolve()).encode()).hexdigest()[:12]
        self.shared_file = shared_file(f"{run_id}-{os.getpid()}")
        self.reference: TrainerGroup | None = None
        self._start_actors()

    # --- start and stop -------------------------------------------------------------------------------------------

    def _start_actors(self) -> None:
        config, gpu = self.config, self.device == "cuda"
        bundle = {"CPU": 1.0, "GPU": 1.0} if gpu else {"CPU": 1.0}
        ranks = config.trainer.world_size
        self.placement = reserve(
            [bundle] * max(ranks, config.rollout.replicas if gpu else 1), config.cluster.placement_timeout_s
        )
        spec = RolloutSpec(config.model, config.rollout, self.model_path, self.device, config.seed)
        self.rollouts = [
            Supervised(
                f"rollout/{i}",
                RolloutActor,
                (spec,),
                options={
                    **self._placed(i if gpu else 0, cpus=0, gpus=0.5 if gpu else 0),
                    "runtime_env": {"env_vars": rollout_actor.environment(spec)},
                },
                max_restarts=config.rollout.max_restarts,
                on_restart=self._resync,
            )
            for i in range(config.rollout.replicas)
        ]
        self.rewards = [
            Supervised(f"reward/{i}", RewardActor, (), options={"num_cpus": 0}, max_restarts=config.reward.max_restarts)
            for i in range(config.reward.workers)
        ]
        self.trainer = self._trainer_group("trainer")
        if self._wants_reference_engine():
            self.reference = self._trainer_group("reference")
        self.trainer.setup()
        if self.reference:
            self.reference.setup()
        for actor in self.rollouts:
            actor.call("ready", timeout_s=config.rollout.timeout_s)
            if gpu:
                actor.call("sleep", timeout_s=config.rollout.timeout_s)

    def _trainer_group(self, role: str) -> TrainerGroup:
        config, gpu = self.config, self.device == "cuda"
        model = config.model if role == "trainer" else config.model.model_copy(update={"lora_rank": 0})
        spec = TrainerSpec(
            model=model,
            trainer=config.trainer,
            path=self.model_path,
            device=self.device,
            seed=config.seed,
            rank=0,
            weight_transfer=config.rollout.weight_transfer,
            shared_file=str(self.shared_file),
        )
        share = 0.5 if role == "trainer" else 0.25

        def options(rank: int) -> dict[str, Any]:
            return self._placed(rank, cpus=share, gpus=share / 2 if gpu else 0)

        return TrainerGroup(spec, role, options, config.trainer.timeout_s)

    def _placed(self, bundle: int, cpus: float, gpus: float) -> dict[str, Any]:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        strategy = PlacementGroupSchedulingStrategy(self.placement, placement_group_bundle_index=bundle)
        return {"num_cpus": cpus, "num_gpus": gpus, "scheduling_strategy": strategy}

    def _wants_reference_engine(self) -> bool:
        """A frozen engine is needed for a KL term, except with LoRA, whose base is the reference."""
        stages = [s for s in self.config.curriculum.stages if isinstance(s, GRPOStage)]
        return self.config.model.lora_rank == 0 and any(s.algorithm.kl_coef > 0 for s in stages)

    def restart_trainer(self) -> None:
        """Replace the trainer group after a rank was lost; the stage then loads its last checkpoint."""
        self.trainer.stop()
        self.trainer = self._trainer_group("trainer")
        self.trainer.setup()
        self.weights_from, self._published = None, None

    def close(self) -> None:
        """End every actor and free what they held."""
        self.trainer.stop()
        if self.reference:
            self.reference.stop()
        for actor in (*self.rollouts, *self.rewards):
            actor.stop()
        ray.util.remove_placement_group(self.placement)
        self.shared_file.unlink(missing_ok=True)

    # --- weights --------------------------------------------------------------------------------------------------

    def weights_changed(self) -> None:
        """Say that the trainer's weights are newer than the rollout's."""
        self._published = None

    def sync_weights(self) -> None:
        """Hand the trainer's weights to every rollout engine, if they have moved since the last time."""
        if self._published is not None:
            return
        self._version += 1
        self._published = self.trainer.publish(self._version)
        for actor in self.rollouts:
            if self.device == "cuda":
                actor.call("wake", timeout_s=self.config.rollout.timeout_s)
            actor.call("sync", self._published, timeout_s=self.config.rollout.timeout_s)

    def _resync(self, handle: Any) -> None:
        if self._published is not None:
            ray.get(handle.sync.remote(self._published), timeout=self.config.rollout.timeout_s)

    def verify_parity(self, metrics: dict[str, float]) -> None:
        """With ``rollout.verify_sync``: stop when trainer and rollout disagree about the tokens that were sampled."""
        difference = metrics.get("log_prob_difference", 0.0)
        if self.config.rollout.verify_sync and self.device == "cpu" and difference > PARITY_TOLERANCE:
            raise RuntimeError(
                f"trainer and rollout log-probs differ by {difference:.2e} (allowed {PARITY_TOLERANCE:.0e}): "
                f"the rollout engine does not run the weights that were published"
            )

    def load_weights_before(self, name: str) -> None:
        """Bring the trainer to the weights that a stage starts from: those of the training stage before it."""
        source = self._trained_before(name)
        if source == self.weights_from:
            return
        self.trainer.call("load", str(self._final_engine(source, name)), weights_only=True)
        self.weights_changed()
        self.weights_from = source

    def load_reference_before(self, name: str) -> None:
        """Bring the reference to the policy at the start of a stage. With LoRA the reference is the base model."""
        source = self._trained_before(name)
        if self.reference is not None and source != self._reference_from:
            self.reference.call("load", str(self._final_engine(source, name)), weights_only=True)
            self._reference_from = source

    def _trained_before(self, name: str) -> str | None:
        """The last training stage before a stage; None if there is none."""
        stages = self.config.curriculum.stages
        index = [stage.name for stage in stages].index(name)
        return next((s.name for s in reversed(stages[:index]) if not isinstance(s, EvaluateStage)), None)

    def _final_engine(self, source: str | None, name: str) -> Path:
        checkpoint = self.checkpoints.latest(source) if source else None
        if checkpoint is None:
            raise UserError(
                f"stage {name} starts from the weights of {source}, but {self.checkpoints.root} holds none of it; "
                f"use resume=restart to begin anew"
            )
        self.checkpoints.driver(checkpoint)  # verifies its files
        return checkpoint.engine.resolve()

    # --- verbs ----------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, without special tokens around it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def rollout(
        self, stage: GRPOStage | EvaluateStage, step: int, prompts: Sequence[Prompt], samples: int
    ) -> list[Group]:
        """One group of ``samples`` completions for each prompt, in the order of the prompts."""
        self.sync_weights()
        rendered = [render_prompt(self.tokenizer, prompt.messages) for prompt in prompts]
        if isinstance(stage, GRPOStage):
            for prompt, ids in zip(prompts, rendered, strict=True):
                if len(ids) > stage.max_prompt_tokens:
                    raise UserError(
                        f"stage {stage.name}: prompt {prompt.uid} (task {prompt.task}) has {len(ids)} tokens, more "
                        f"than max_prompt_tokens={stage.max_prompt_tokens}; raise the limit or take the prompt out"
                    )
        shares = [list(range(len(prompts)))[i :: len(self.rollouts)] for i in range(len(self.rollouts))]

        def ask(actor: Supervised, share: list[int]) -> list[list[Completion]]:
            if not share:
                return []
            answer: list[list[Completion]] = actor.call(
                "generate",
                [rendered[i] for i in share],
                samples,
                stage.sampling,
                _seed(self.config.seed, stage.name, step, share[0]),
                timeout_s=self.config.rollout.timeout_s,
            )
            return answer

        with ThreadPoolExecutor(len(self.rollouts)) as pool:
            answers = list(pool.map(ask, self.rollouts, shares))
        if self.device == "cuda":
            for actor in self.rollouts:
                actor.call("sleep", timeout_s=self.config.rollout.timeout_s)
            self._published = None
        completions = {
            i: c for share, found in zip(shares, answers, strict=True) for i, c in zip(share, found, strict=True)
        }
        return [
            Group(f"{stage.name}-{step:06d}-{i:04d}-{prompt.uid}", prompt, rendered[i], completions[i])
            for i, prompt in enumerate(prompts)
        ]

    def score(self, groups: Sequence[Group], weights: dict[str, float]) -> list[Group]:
        """The groups with rewards. One with an errored verdict is tried once more, then marked with its error."""
        scored = self._score_once(groups, weights)
        again = [i for i, group in enumerate(scored) if group.error is not None]
        if again:
            for i, group in zip(again, self._score_once([groups[i] for i in again], weights), strict=True):
                scored[i] = group
        return scored

    def _score_once(self, groups: Sequence[Group], weights: dict[str, float]) -> list[Group]:
        shares = [groups[i :: len(self.rewards)] for i in range(len(self.rewards))]

        def ask(actor: Supervised, share: Sequence[Group]) -> list[Group]:
            samples = [sample for group in share for sample in _samples(group)]
            try:
                verdicts = (
                    actor.call("score", samples, weights, timeout_s=self.config.reward.timeout_s) if samples else []
                )
            except TimeoutError as error:
                verdicts = [Verdict.failed(str(error)) for _ in samples]
            found = iter(verdicts)
            return [_with_verdicts(group, [next(found) for _ in group.completions]) for group in share]

        with ThreadPoolExecutor(len(self.rewards)) as pool:
            by_uid = {group.uid: group for share in pool.map(ask, self.rewards, shares) for group in share}
        return [by_uid[group.uid] for group in groups]

    def reference_log_probs(self, samples: TokenBatch, batch: BatchNumbers) -> np.ndarray:
        """Log-probs under the reference: the frozen engine, or with LoRA the policy with its adapter off."""
        if self.reference is None:
            return self.trainer.log_probs(samples, batch.max_tokens_per_microbatch, adapter=False)
        return self.reference.log_probs(samples, batch.max_tokens_per_microbatch)


def _samples(group: Group) -> list[Sample]:
    question = group.prompt.messages[-1]["content"]
    return [
        Sample(question, completion.text, group.prompt.reference, group.prompt.answer_kind)
        for completion in group.completions
    ]


def _with_verdicts(group: Group, verdicts: list[Verdict]) -> Group:
    failed = next((verdict.error for verdict in verdicts if verdict.error is not None), None)
    if failed is not None:
        return replace(group, error=failed)
    scores = [float(verdict.score) for verdict in verdicts if verdict.score is not None]
    if not all(math.isfinite(score) for score in scores):
        return replace(group, error="a reward is not a finite number")
    return replace(group, rewards=scores, parts=[dict(verdict.parts) for verdict in verdicts])


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


def _device(config: RunConfig) -> str:
    if config.trainer.device != "auto":
        return config.trainer.device
    return "cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"
