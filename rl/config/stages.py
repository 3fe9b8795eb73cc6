"""The stages of a curriculum, as typed models: a union told apart by ``kind``, each field documented below it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rl.config.base import Strict


class OptimConfig(Strict):
    """AdamW and its schedule for one stage."""

    lr: float = Field(1e-6, gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "wsd"] = "constant"
    """After warm-up: constant; cosine to ``min_lr_ratio``; or warm-up, stable, linear decay (WSD)."""
    warmup_steps: int = Field(0, ge=0)
    """Updates with a linearly rising rate."""
    decay_fraction: float = Field(0.2, gt=0, le=1)
    """Last part of the stage in which WSD decays (share of its updates)."""
    min_lr_ratio: float = Field(0.0, ge=0, le=1)
    """Rate at the end, as a share of the peak."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's moment decay rates."""
    clip_grad: float = Field(1.0, gt=0)
    """Largest global gradient norm; larger gradients are scaled down to it."""


class SamplingConfig(Strict):
    """How completions are drawn."""

    temperature: float = Field(1.0, ge=0)
    """0 is greedy. In training the trainer divides its logits by the same temperature."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus mass; must be 1 while training, because truncated sampling biases the log-probs."""
    top_k: int = Field(-1, ge=-1)
    """Number of candidates; -1 is off, as it must be while training."""
    max_tokens: int = Field(64, ge=1)
    """Longest completion (tokens)."""


class CorpusSource(Strict):
    """One source of a mid-training mixture."""

    path: str = "statutes"
    """``statutes`` for the bundled statute corpus, or a JSONL or Parquet file with a ``text`` column."""
    laws: tuple[str, ...] = ()
    """Names of the laws to take from the statute corpus; empty takes every law in force."""
    weight: float = Field(1.0, gt=0)
    """Share of tokens drawn from this source, relative to the others."""


class AlgorithmConfig(Strict):
    """The policy-gradient update. Advantage and loss are verl's, reached by name."""

    advantage: str = "grpo"
    """Advantage estimator (verl's registry: grpo, rloo, reinforce_plus_plus, opo, …)."""
    normalise_std: bool = True
    """Divide group advantages by the group's standard deviation (GRPO); off is Dr.GRPO."""
    loss: str = "vanilla"
    """Policy loss (verl's registry: vanilla is clipped PPO with dual clip, gspo, gpg, cispo, …)."""
    aggregation: Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean"] = "token-mean"
    """How per-token losses become one number, over the whole batch of all ranks."""
    clip_low: float = Field(0.2, ge=0)
    """Lower clip range of the probability ratio."""
    clip_high: float = Field(0.28, ge=0)
    """Upper clip range (DAPO's clip-higher)."""
    clip_dual: float = Field(3.0, gt=1)
    """Dual clip: bound of the ratio for negative advantages."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL term against the reference; above 0 a reference is started."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """KL estimator (Schulman 2020)."""
    entropy_coef: float = Field(0.0, ge=0)
    """Weight of the entropy bonus."""


class StageBase(Strict):
    """What every stage has."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the stage, unique in the curriculum; also its folder."""


class BatchOverrides(Strict):
    """The four batch numbers; empty takes the top-level value."""

    prompts_per_step: int | None = Field(None, ge=1)
    """Prompts (demonstrations, packed rows) of one step."""
    samples_per_prompt: int | None = Field(None, ge=1)
    """Completions of one prompt: the size of a group."""
    updates_per_step: int | None = Field(None, ge=1)
    """Optimizer updates made from the samples of one step."""
    max_tokens_per_microbatch: int | None = Field(None, ge=1)
    """Most padded tokens of one forward pass on one rank."""


class MidTrainingStage(StageBase, BatchOverrides):
    """Next-token training on packed documents."""

    kind: Literal["mid_training"]
    """Tells the stage kinds apart."""
    steps: int = Field(ge=1)
    """Number of steps."""
    sequence_length: int = Field(256, ge=16)
    """Length of a packed row (tokens)."""
    corpus: tuple[CorpusSource, ...] = (CorpusSource(),)
    """The mixture."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""


class SFTStage(StageBase, BatchOverrides):
    """Supervised fine-tuning on demonstrations; the loss covers the answer only."""

    kind: Literal["sft"]
    """Tells the stage kinds apart."""
    steps: int = Field(ge=1)
    """Number of steps."""
    demonstrations: dict[str, int] = Field(default_factory=dict)
    """Number of generated demonstrations by task name."""
    data: str | None = None
    """JSONL or Parquet file with ``prompt`` and ``demonstration``, besides or instead of generated ones."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""

    @model_validator(mode="after")
    def _has_data(self) -> "SFTStage":
        if not self.demonstrations and not self.data:
            raise ValueError("give demonstrations (task: number) or data (a file); both are empty")
        return self


class GRPOStage(StageBase, BatchOverrides):
    """Reinforcement learning with group-relative advantages."""

    kind: Literal["grpo"]
    """Tells the stage kinds apart."""
    steps: int = Field(ge=1)
    """Number of steps."""
    tasks: dict[str, float] = Field(default_factory=dict)
    """Weight of each task in the prompts of a step."""
    data: str | None = None
    """JSONL or Parquet file of prompts with references, instead of generated tasks."""
    reward: dict[str, float] | None = None
    """Reward weights of this stage; empty takes ``reward.parts``."""
    max_prompt_tokens: int = Field(128, ge=1)
    """Longest prompt; a longer one is an error, never cut."""
    sampling: SamplingConfig = SamplingConfig()
    """How completions are drawn."""
    algorithm: AlgorithmConfig = AlgorithmConfig()
    """The update."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""

    @model_validator(mode="after")
    def _possible(self) -> "GRPOStage":
        if bool(self.tasks) == bool(self.data):
            raise ValueError("give either tasks (name: weight) or data (a file of prompts)")
        if self.tasks and not sum(self.tasks.values()) > 0:
            raise ValueError("the weights of tasks add up to 0; give at least one a positive weight")
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature=0 draws the same completion n times; use a temperature above 0")
        if self.sampling.top_p != 1 or self.sampling.top_k != -1:
            raise ValueError("top_p and top_k must stay 1 and -1 while training: truncation biases the log-probs")
        return self


class EvaluateStage(StageBase):
    """Held-out accuracy of the policy as it stands, per task, with a confidence interval."""

    kind: Literal["evaluate"]
    """Tells the stage kinds apart."""
    tasks: tuple[str, ...] = ()
    """Task names."""
    data: str | None = None
    """JSONL or Parquet file of prompts with references, besides or instead of generated tasks."""
    split: Literal["dev", "test"] = "test"
    """Held-out split of the generated tasks."""
    questions: int = Field(100, ge=1)
    """Questions of each task."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.0)
    """Validation sampling; greedy unless set."""

    @model_validator(mode="after")
    def _has_data(self) -> "EvaluateStage":
        if not self.tasks and not self.data:
            raise ValueError("give tasks or data; both are empty")
        return self


Stage = Annotated[MidTrainingStage | SFTStage | GRPOStage | EvaluateStage, Field(discriminator="kind")]


class CurriculumConfig(Strict):
    """The stages of a run, in their order."""

    name: str
    """Short name, used in the run folder."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """Each stage starts from the policy that the one before it left."""

    @model_validator(mode="after")
    def _unique(self) -> "CurriculumConfig":
        names = [stage.name for stage in self.stages]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"stage names must be unique; used more than once: {', '.join(twice)}")
        return self
