"""The running system behind the stages: actors, and the verbs that stages are written in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluster.health import Supervised
from curricula.prompts import Prompt
from rewards.registry import split
from rewards.verdict import Sample, Verdict
from rl.actors.group import TrainerGroup
from rl.checkpoint import Checkpoints
from rl.config.derive import BatchNumbers
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, GRPOStage
from rl.errors import UserError
from rl.fleet import Fleet
from rl.manifest import Manifest
from rl.models.chat import render_prompt
from rl.samples import Completion, Group, TokenBatch
from rl.tracking import Tracker

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
        self.fleet = Fleet(config, model_path)
        self.weights_from: str | None = None
        self._reference_from: str | None = None

    @property
    def trainer(self) -> TrainerGroup:
        """The ranks that train the policy."""
        return self.fleet.trainer

    def restart_trainer(self) -> None:
        """Replace the trainer group after a rank was lost."""
        self.fleet.restart_trainer()
        self.weights_from = None

    def close(self) -> None:
        """End every actor."""
        self.fleet.close()

    # --- weights --------------------------------------------------------------------------------------------------

    def weights_changed(self) -> None:
        """Say that the trainer's weights are newer than the rollout's."""
        self.fleet.weights.changed()

    def sync_weights(self) -> None:
        """Hand the trainer's weights to every rollout engine, if they have moved since the last time."""
        self.fleet.weights.push()

    def verify_parity(self, metrics: dict[str, float]) -> None:
        """With ``rollout.verify_sync``: stop when trainer and rollout disagree about the tokens that were sampled."""
        difference = metrics.get("log_prob_difference", 0.0)
        if self.config.rollout.verify_sync and self.fleet.device == "cpu" and difference > PARITY_TOLERANCE:
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
        if self.fleet.reference is not None and source != self._reference_from:
            self.fleet.reference.call("load", str(self._final_engine(source, name)), weights_only=True)
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
        shares = [list(range(len(prompts)))[i :: len(self.fleet.rollouts)] for i in range(len(self.fleet.rollouts))]

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

        with ThreadPoolExecutor(len(self.fleet.rollouts)) as pool:
            answers = list(pool.map(ask, self.fleet.rollouts, shares))
        if self.fleet.takes_turns:
            self.fleet.sleep()
            self.fleet.weights.changed()
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
        samples = [sample for group in groups for sample in _samples(group)]
        rules, judged = split(weights)
        asked = [(self.fleet.rewards, rules)] if rules or not judged else []
        asked += [(self.fleet.judges, judged)] if judged else []
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = list(pool.map(lambda pair: self._verdicts(pair[0], pair[1], samples), asked))
        verdicts = iter(answers[0] if len(answers) == 1 else [a + b for a, b in zip(*answers, strict=True)])
        return [_with_verdicts(group, [next(verdicts) for _ in group.completions]) for group in groups]

    def _verdicts(self, actors: list[Supervised], weights: dict[str, float], samples: list[Sample]) -> list[Verdict]:
        """Verdicts in the order of the samples, which are dealt to the actors in equal runs."""
        size = max(1, math.ceil(len(samples) / len(actors)))

        def ask(place: int) -> list[Verdict]:
            share = samples[place * size : (place + 1) * size]
            if not share:
                return []
            try:
                found: list[Verdict] = actors[place].call(
                    "score", share, weights, timeout_s=self.config.reward.timeout_s
                )
            except TimeoutError as error:
                found = [Verdict.failed(str(error)) for _ in share]
            return found

        with ThreadPoolExecutor(len(actors)) as pool:
            return [verdict for share in pool.map(ask, range(len(actors))) for verdict in share]

    def reference_log_probs(self, samples: TokenBatch, batch: BatchNumbers) -> np.ndarray:
        """Log-probs under the reference: the frozen engine, or with LoRA the policy with its adapter off."""
        reference = self.fleet.reference
        if reference is None:
            return self.trainer.log_probs(samples, batch.max_tokens_per_microbatch, adapter=False)
        return reference.log_probs(samples, batch.max_tokens_per_microbatch)


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
