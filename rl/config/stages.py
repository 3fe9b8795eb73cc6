"""The stages of a curriculum, as typed models: a union told apart by ``kind``, each field documented below it."""

from typing import Annotated, Any, Literal, NamedTuple

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
    min_tokens: int = Field(0, ge=0)
    """Shortest completion (tokens): the stop token is held back until then."""

    @model_validator(mode="after")
    def _possible(self) -> "SamplingConfig":
        if self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens={self.min_tokens} is more than max_tokens={self.max_tokens}")
        return self


class RewardPart(Strict):
    """One reward of a weighted sum; a number alone is its weight."""

    weight: float = 1.0
    """Factor of its score in the sum."""
    range: tuple[float, float] | None = None
    """Score that counts as 0 and score that counts as 1; empty leaves scores as they are."""
    clip: tuple[float, float] | None = None
    """Bounds of the score, after ``range``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the reward, such as ``longest`` of length."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: Any) -> Any:
        return {"weight": given} if isinstance(given, int | float | str) else given

    @model_validator(mode="after")
    def _possible(self) -> "RewardPart":
        if self.range is not None and self.range[0] == self.range[1]:
            raise ValueError(f"range={list(self.range)} has no width")
        if self.clip is not None and self.clip[0] > self.clip[1]:
            raise ValueError(f"clip={list(self.clip)} is upside down")
        return self


class CorpusSource(Strict):
    """One source of a mid-training mixture."""

    path: str = "statutes"
    """``statutes`` for the bundled statute corpus, or a JSONL or Parquet file with a ``text`` column."""
    laws: tuple[str, ...] = ()
    """Names of the laws to take from the statute corpus; empty takes every law in force."""
    weight: float = Field(1.0, gt=0)
    """Share of tokens drawn from this source, relative to the others."""


class MismatchConfig(Strict):
    """Correction for the difference between the policy that sampled and the policy that is trained."""

    level: Literal["token", "sequence", "geometric"] = "token"
    """Ratio of a token, of its sequence (product), or the geometric mean of the sequence."""
    mode: Literal["truncate", "mask"] = "truncate"
    """``truncate`` bounds the ratio by ``threshold``; ``mask`` drops what lies outside [1/threshold, threshold]."""
    threshold: float = Field(2.0, gt=1)
    """Largest ratio."""


class Preset(NamedTuple):
    """A published algorithm."""

    keys: dict[str, Any]
    """What it sets of :class:`AlgorithmConfig`."""
    reason: str
    source: str


PRESETS = {
    "grpo": Preset(
        {"aggregation": "seq-mean-token-mean", "clip_high": 0.2, "kl_coef": 0.04},
        "The group's mean reward is the baseline in place of a value model; a KL term holds the policy near its start.",
        "Shao et al. 2024, arXiv 2402.03300, eq. 3",
    ),
    "dr_grpo": Preset(
        {"aggregation": "seq-mean-token-sum-norm", "clip_high": 0.2, "normalise_std": False},
        "No division by the group's deviation or a completion's own length, which favour easy prompts and long errors.",
        "Liu et al. 2025, arXiv 2503.20783",
    ),
    "dapo": Preset(
        {"refills": 3},
        "Every token weighs the same, rare tokens may grow more, and groups without a gradient are replaced.",
        "Yu et al. 2025, arXiv 2503.14476, eq. 8 and 10 to 13",
    ),
    "legalone": Preset(
        {"advantage": "length_weighted", "refills": 3},
        "A length-weighted baseline: the advantages of all tokens of a group add up to 0, whatever the lengths.",
        "LegalOne (b2 = sum L R / sum L); the same estimator as OPO, Hao et al. 2025, arXiv 2505.23585",
    ),
    "rloo": Preset(
        {"advantage": "rloo", "loss": "gpg", "aggregation": "seq-mean-token-sum"},
        "Plain REINFORCE over whole completions; the others of the group are an unbiased baseline.",
        "Ahmadian et al. 2024, arXiv 2402.14740",
    ),
    "reinforce_pp": Preset(
        {
            "advantage": "reinforce_plus_plus",
            "clip_high": 0.2,
            "kl_coef": 0.01,
            "kl_in": "reward",
            "kl_estimator": "k1",
        },
        "Advantages are whitened over the whole batch instead of a group, with the KL penalty in the reward.",
        "Hu et al. 2025, arXiv 2501.03262",
    ),
    "reinforce_pp_baseline": Preset(
        {"advantage": "reinforce_plus_plus_baseline", "clip_high": 0.2, "kl_coef": 0.001, "kl_estimator": "k2"},
        "The group's mean is taken off first, then advantages are whitened over the whole batch.",
        "Hu et al. 2025, arXiv 2501.03262",
    ),
    "gspo": Preset(
        {"loss": "gspo", "aggregation": "seq-mean-token-mean", "clip_low": 3e-4, "clip_high": 4e-4},
        "The ratio is that of the whole completion, the unit that is rewarded; steadier for mixture-of-experts models.",
        "Zheng et al. 2025, arXiv 2507.18071",
    ),
    "cispo": Preset(
        {"loss": "cispo", "clip_low": 1.0, "clip_high": 4.0},
        "The ratio is clipped as a weight, so no token loses its gradient.",
        "MiniMax 2025, arXiv 2506.13585",
    ),
    "sapo": Preset(
        {"loss": "sapo", "aggregation": "seq-mean-token-mean"},
        "A smooth gate instead of a hard clip, narrower for negative advantages.",
        "Gao et al. 2025, arXiv 2511.20347",
    ),
    "gpg": Preset(
        {"advantage": "gpg", "loss": "gpg"},
        "The bare policy gradient, scaled up for the completions that carry none.",
        "Chu et al. 2025, arXiv 2504.02546",
    ),
}
"""What a preset sets; a key that is set beside it wins."""


class AlgorithmConfig(Strict):
    """The policy-gradient update. Estimators and losses are verl's, except ``length_weighted``."""

    preset: (
        Literal[
            "grpo", "dr_grpo", "dapo", "legalone", "rloo", "reinforce_pp", "reinforce_pp_baseline", "gspo", "cispo",
            "sapo", "gpg",
        ]
        | None
    ) = None  # fmt: skip
    """A published algorithm, which sets the keys below that are not set beside it."""
    advantage: Literal[
        "grpo", "rloo", "opo", "length_weighted", "gpg", "reinforce_plus_plus", "reinforce_plus_plus_baseline"
    ] = "grpo"
    """Advantage estimator."""
    normalise_std: bool = True
    """Divide group advantages by the group's standard deviation (``grpo``); off is Dr.GRPO."""
    loss: Literal["vanilla", "gspo", "cispo", "sapo", "gpg"] = "vanilla"
    """Policy loss: ``vanilla`` is PPO's clipped ratio with dual clip, ``gpg`` the plain policy gradient."""
    aggregation: Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"] = (
        "token-mean"
    )
    """How per-token losses become one number over the whole batch; ``-norm`` divides by ``sampling.max_tokens``."""
    clip_low: float = Field(0.2, ge=0)
    """Lower clip range of the probability ratio."""
    clip_high: float = Field(0.28, ge=0)
    """Upper clip range (DAPO's clip-higher)."""
    clip_dual: float = Field(3.0, gt=1)
    """Dual clip: bound of the ratio for negative advantages."""
    tau_positive: float = Field(1.0, gt=0)
    """SAPO's gate temperature for positive advantages."""
    tau_negative: float = Field(1.05, gt=0)
    """SAPO's gate temperature for negative advantages."""
    old_log_probs: Literal["rollout", "recompute"] = "rollout"
    """What the ratio is taken against: the sampler's own log-probs, or the trainer's before the step."""
    mismatch: MismatchConfig | None = None
    """Correction for the sampler's mismatch; needs ``old_log_probs=recompute``."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL term against the reference; above 0 a reference is started."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Whether the KL term is added to the loss or taken off the reward, token by token."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """KL estimator (Schulman 2020)."""
    entropy_coef: float = Field(0.0, ge=0)
    """Weight of the entropy bonus."""
    refills: int = Field(0, ge=0)
    """Dynamic sampling: at most so many further rounds of prompts in place of groups without a gradient."""
    overlong_buffer: int = Field(0, ge=0)
    """Overlong shaping: the reward falls by up to 1 over the last so many tokens before ``sampling.max_tokens``."""

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") in PRESETS:
            return PRESETS[given["preset"]].keys | given
        return given

    @model_validator(mode="after")
    def _possible(self) -> "AlgorithmConfig":
        if self.mismatch is not None and self.old_log_probs == "rollout":
            raise ValueError(
                "mismatch needs old_log_probs=recompute: against the sampler's own log-probs the ratio corrects already"
            )
        if self.loss == "sapo" and self.aggregation != "seq-mean-token-mean":
            raise ValueError("loss=sapo is defined with aggregation=seq-mean-token-mean alone")
        if self.kl_in == "reward" and self.kl_estimator != "k1":
            raise ValueError("kl_in=reward takes kl_estimator=k1; the others are estimates of a loss")
        return self

    @property
    def whole_batch(self) -> bool:
        """Whether advantages depend on more than their own group, so that training must wait for every group."""
        return self.advantage in ("gpg", "reinforce_plus_plus", "reinforce_plus_plus_baseline")


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
    """Most tokens of one forward pass on one rank; a prompt that a group shares counts once."""


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
    reward: dict[str, RewardPart] | None = None
    """Rewards of this stage, as in ``reward.parts``; empty takes those."""
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
