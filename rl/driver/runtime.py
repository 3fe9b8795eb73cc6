"""The running system behind the stages: actors, and the verbs that stages are written in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluster.health import Supervised
from curricula.prompts import Prompt
from curricula.records import is_file, read_prompts
from curricula.sampler import Sampler
from rewards.cache import key_of
from rewards.registry import JUDGED, Weights
from rewards.total import split
from rewards.verdict import Sample, Verdict
from rl.actors.group import TrainerGroup
from rl.config.derive import BatchNumbers, batch_numbers, reward_sum, task_weights
from rl.config.schema import JudgeConfig, RunConfig
from rl.config.stages import EvaluateStage, GRPOStage, PerplexityStage
from rl.data.tokens import encode_prompts
from rl.driver.calls import Limits, Panel, complete, patience
from rl.driver.fleet import Fleet
from rl.driver.stream import GroupStream, IssuedPrompt, StreamPlan, stable_seed
from rl.driver.updates import StepUpdate, shaped
from rl.errors import UserError
from rl.files import digest, read_json
from rl.models.chat import THINK, opens_thinking, render_prompt
from rl.models.control import encode
from rl.models.template import for_stage
from rl.records.checkpoint import Checkpoints
from rl.records.manifest import Manifest
from rl.records.tracking import Tracker
from rl.samples import Completion, Group, TokenBatch
from rl.weights.checks import PARITY_TOLERANCE, SyncError

PARTS = 4
"""With periodic overlap a step's groups come in about so many parts from each engine; training on the last is all that
is not overlapped."""
IN_TRAINING = ""
"""What the trainer's weights come from while a stage is training them."""
PIECE = 512
"""Most samples that a reward actor is sent in one call."""
JUDGE_ROUNDS = 4
"""Requests that each of a served judge's places in flight makes in one call, about."""


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
        self.weights_from: str | None = None
        """Stage whose final weights the trainer holds; None for those of the base model."""
        self._reference_from: str | None = None
        by_rules = Limits(PIECE, patience(config.reward.timeout_s), config.reward.timeout_s)
        by_model = _judge_limits(config.judge)
        self._panels = {
            "rewards": Panel(fleet.rewards, by_rules),
            "judges": Panel(fleet.judges, by_model if config.judge.kind == "llm" else by_rules),
        }

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
        exact = self.fleet.device == "cpu" and self.config.rollout.overlap != "async"
        if self.config.rollout.verify_sync and exact and difference > PARITY_TOLERANCE:
            raise SyncError(
                f"trainer and rollout log-probs of the sampled tokens differ by {difference:.2e} (allowed "
                f"{PARITY_TOLERANCE:.0e}): the rollout does not run the weights that were published"
            )

    def load_weights_before(self, name: str) -> None:
        """Bring the trainer to the weights that a stage starts from: those of the training stage before it."""
        self._load(self._trained_before(name), name)

    def load_weights_of(self, name: str) -> None:
        """Bring the trainer to the weights that a finished stage leaves, which may be earlier ones than its last."""
        self._load(self.trained_up_to(name), name)

    def _load(self, source: str | None, name: str) -> None:
        if source == self.weights_from:
            return
        if source is None:
            self.restart_trainer()  # which reads the base model
        else:
            self.trainer.call("load", str(self._final_engine(source, name)), weights_only=True)
        self.weights_changed()
        self.weights_from = source

    def load_reference_before(self, name: str) -> None:
        """Bring the reference to the policy at the start of a stage. With LoRA the reference is the base model."""
        source = self._trained_before(name)
        if self.fleet.reference is not None and source is not None and source != self._reference_from:
            self.fleet.reference.call("load", str(self._final_engine(source, name)), weights_only=True)
            self._reference_from = source

    def _trained_before(self, name: str) -> str | None:
        """The last stage before a stage that left weights of its own; None if there is none."""
        names = [stage.name for stage in self.config.curriculum.stages]
        return self.trained_up_to(names[names.index(name) - 1]) if names.index(name) else None

    def trained_up_to(self, name: str) -> str | None:
        """The last stage up to ``name`` that left weights of its own: it trained, and did not fall back to its start.
        None if there is none."""
        stages = self.config.curriculum.stages
        index = [stage.name for stage in stages].index(name)
        for stage in reversed(stages[: index + 1]):
            record = self.manifest.stage(stage.name)
            fell_back = record.get("ended", {}).get("weights_after") == 0
            if not isinstance(stage, EvaluateStage | PerplexityStage) and "skipped" not in record and not fell_back:
                return stage.name
        return None

    def _final_engine(self, source: str, name: str) -> Path:
        after = self.manifest.stage(source).get("ended", {}).get("weights_after")
        checkpoint = self.checkpoints.latest(source) if after is None else self.checkpoints.at(source, after)
        if checkpoint is None:
            raise UserError(
                f"stage {name} starts from the weights of {source}, but {self.checkpoints.root} holds none of it; "
                f"use resume=restart to begin anew"
            )
        self.checkpoints.driver(checkpoint)  # verifies its files
        return checkpoint.engine.resolve()

    def weights_id(self) -> str:
        """What the trainer's weights are, as a hash: equal weights of equal runs have equal ones."""
        if self.weights_from is not None:
            engine = self._final_engine(self.weights_from, self.weights_from)
            files = read_json(engine.parent / "files.json")
            return key_of(sorted(item for item in files.items() if item[0].startswith("engine/")))
        folder = Path(self.fleet.model_path)
        if folder.is_dir():
            return key_of([(path.name, digest(path)) for path in sorted(folder.glob("*.safetensors"))])
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(
            self.fleet.model_path, trust_remote_code=self.config.model.trust_remote_code
        )
        return key_of(self.fleet.model_path, config._commit_hash)

    # --- verbs ----------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, without special tokens around it or control tokens in it."""
        return encode(self.tokenizer, text)

    def sampler(self, stage: GRPOStage) -> Sampler:
        """The prompts of a stage, by number."""
        weights = task_weights(self.config, stage)
        pools = {source: read_prompts(source) for source in weights if is_file(source)}
        return Sampler(weights, pools, self.config.seed, stage.name, stage.difficulty)

    def stream(self, stage: GRPOStage, sampler: Sampler) -> GroupStream:
        """The stage's groups, sampled and scored in the background."""
        config = self.config.rollout
        batch = batch_numbers(self.config, stage)
        staleness = config.max_staleness if config.overlap == "async" else 0
        if staleness and self.fleet.takes_turns:
            raise UserError(
                "rollout.overlap=async needs GPUs of its own for the rollout: set cluster.placement=split, "
                "or rollout.overlap=periodic"
            )
        plan = StreamPlan(
            prompts_per_step=batch.prompts_per_step,
            steps=stage.steps,
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
            return shaped(self.score(groups, weights), stage.sampling.max_tokens, stage.algorithm.overlong_buffer)

        return GroupStream(self.fleet.rollouts, draw, score, plan)

    def update(self, stage: GRPOStage, phase: Callable[[str], AbstractContextManager[None]]) -> StepUpdate:
        """The updates of one step; they wait for the last group where trainer and rollout share a GPU."""
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

    def answer(self, stage: EvaluateStage, prompts: Sequence[Prompt]) -> list[Group]:
        """One completion of each prompt, in the order of the prompts, by the policy as it stands."""
        self.sync_weights()
        tokenizer = for_stage(self.tokenizer, self.config, stage)
        rendered = [ids.tolist() for ids in encode_prompts(tokenizer, prompts)]
        actors = self.fleet.rollouts
        shares = [list(range(len(prompts)))[i :: len(actors)] for i in range(len(actors))]

        def ask(actor: Supervised, share: list[int]) -> list[Completion]:
            if not share:
                return []
            seed = stable_seed(self.config.seed, stage.name, share[0])
            asked = [rendered[i] for i in share]
            return complete(actor, asked, stage.sampling, seed, self.config.rollout.timeout_s)

        with ThreadPoolExecutor(len(actors)) as pool:
            answers = list(pool.map(ask, actors, shares))
        self.sampling_done()
        completions = {
            i: c for share, found in zip(shares, answers, strict=True) for i, c in zip(share, found, strict=True)
        }
        return [
            Group(f"{stage.name}-{i:07d}-{prompt.uid}", prompt, rendered[i], [completions[i]], index=i)
            for i, prompt in enumerate(prompts)
        ]

    def score(self, groups: Sequence[Group], weights: Weights) -> list[Group]:
        """The groups with rewards. One with an errored verdict is tried once more, then marked with its error."""
        scored = self._score_once(groups, weights)
        again = [i for i, group in enumerate(scored) if group.error is not None]
        if again:
            for i, group in zip(again, self._score_once([groups[i] for i in again], weights), strict=True):
                scored[i] = group
        return scored

    def _score_once(self, groups: Sequence[Group], weights: Weights) -> list[Group]:
        samples = [sample for group in groups for sample in _samples(group, self.tokenizer)]
        rules, judged = split(weights)
        asked = [(self._panels["rewards"], rules)] if rules or not judged else []
        asked += [(self._panels["judges"], judged)] if judged else []
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = list(pool.map(lambda pair: pair[0].verdicts(samples, pair[1]), asked))
        verdicts = iter(answers[0] if len(answers) == 1 else [a + b for a, b in zip(*answers, strict=True)])
        return [_with_verdicts(group, [next(verdicts) for _ in group.completions]) for group in groups]

    def judge_metrics(self) -> dict[str, float]:
        """What a language model as judge has cost since it started; nothing without one."""
        if self.config.judge.kind == "statute" or not self.fleet.judges:
            return {}
        found = self._panels["judges"].call(0, "metrics")
        assert isinstance(found, dict)
        return found

    def reference_log_probs(self, samples: TokenBatch, batch: BatchNumbers) -> np.ndarray:
        """Log-probs under the reference: the frozen engine, or with LoRA the policy with its adapter off."""
        reference = self.fleet.reference
        if reference is None:
            return self.trainer.log_probs(samples, batch.max_tokens_per_microbatch, adapter=False)
        return reference.log_probs(samples, batch.max_tokens_per_microbatch)


def _judge_limits(judge: JudgeConfig) -> Limits:
    """A served judge ends a batch itself, with errors, when no answer comes for ``batch_timeout_s``; so a call takes
    longer than that for each round of requests only where the actor hangs."""
    import rewards.library  # noqa: F401  (registers the rewards)

    rounds = JUDGE_ROUNDS * judge.votes * len(JUDGED)
    return Limits(JUDGE_ROUNDS * judge.concurrency, None, judge.batch_timeout_s * rounds + 30)


def _prompt_ids(tokenizer: Any, stage: GRPOStage, prompt: Prompt) -> list[int]:
    ids = render_prompt(tokenizer, prompt.messages)
    if len(ids) > stage.max_prompt_tokens:
        raise UserError(
            f"stage {stage.name}: prompt {prompt.uid} (task {prompt.task}) has {len(ids)} tokens, more "
            f"than max_prompt_tokens={stage.max_prompt_tokens}; raise the limit or take the prompt out"
        )
    return ids


def _samples(group: Group, tokenizer: Any) -> list[Sample]:
    question = group.prompt.messages[-1]["content"]
    # What the template opened for the policy counts as written by it.
    opened = THINK if opens_thinking(tokenizer, group.prompt_ids) else ""
    return [
        Sample(question, opened + completion.text, group.prompt.reference, group.prompt.answer_kind)
        for completion in group.completions
    ]


def _with_verdicts(group: Group, verdicts: list[Verdict]) -> Group:
    failed = next((verdict.error for verdict in verdicts if verdict.error is not None), None)
    if failed is not None:
        return replace(group, error=failed)
    scores = [float(verdict.score) for verdict in verdicts if verdict.score is not None]
    if not all(math.isfinite(score) for score in scores):
        return replace(group, error="a reward is not a finite number")
    reasons = [verdict.reason for verdict in verdicts]
    return replace(group, rewards=scores, parts=[dict(verdict.parts) for verdict in verdicts], reasons=reasons)
