"""The stages of a curriculum, as typed models: a union discriminated by ``kind``, each field documented below it."""

from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rl.config.algorithm import AlgorithmConfig
from rl.config.base import Strict
from rl.config.corpora import CleaningConfig, CorpusSource, PASConfig


class OptimConfig(Strict):
    """The optimizer of one stage and its schedule."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """``muon``: Muon for the matrices of the hidden layers and AdamW for the rest; learns more from few tokens."""
    lr: float = Field(1e-6, gt=0)
    """Peak learning rate."""
    matrix_lr_ratio: float = Field(1.0, gt=0)
    """With ``muon``: rate of the matrices, as a multiple of ``lr``."""
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
    """Shortest completion (tokens): stop tokens are held back until then."""

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


class ChatOverrides(Strict):
    """How a stage's prompts are rendered; what is not given is taken from the model."""

    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables of the chat template in this stage, which win over those of ``model.chat_template_kwargs``."""


class MidTrainingStage(StageBase, BatchOverrides):
    """Next-token training on packed documents."""

    kind: Literal["mid_training"]
    """The kind of the stage."""
    steps: int = Field(ge=1)
    """Number of steps."""
    sequence_length: int = Field(256, ge=16)
    """Length of a packed row (tokens)."""
    corpus: tuple[CorpusSource, ...] = (CorpusSource(),)
    """The mixture."""
    clean: CleaningConfig = CleaningConfig()
    """Which documents are left out."""
    pas: PASConfig | None = None
    """Plasticity-adjusted sampling, from the scores of a perplexity stage; empty draws documents uniformly."""
    held_out: int = Field(0, ge=0)
    """Documents of each source kept out of training, whose perplexity is measured; 0 is off."""
    held_out_every: int = Field(20, ge=1)
    """Steps between two such measurements, each made before its step; the last is made after the last step."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""

    @model_validator(mode="after")
    def _has_phases(self) -> "MidTrainingStage":
        if self.pas is not None and self.optim.schedule != "wsd":
            raise ValueError(f"pas follows the phases of optim.schedule=wsd; schedule={self.optim.schedule} has none")
        return self


class PerplexityStage(StageBase):
    """Perplexity of every document of a corpus under the current policy, which is PAS's reference model.

    A score is kept under the content of document and weights, so that it is never computed twice.
    """

    kind: Literal["perplexity"]
    """The kind of the stage."""
    corpus: tuple[CorpusSource, ...] = (CorpusSource(),)
    """The sources to score; weights don't matter here."""
    clean: CleaningConfig = CleaningConfig()
    """Which documents are left out."""
    window: int = Field(256, ge=16)
    """Longest piece of a document in one pass (tokens); the score is over all tokens of all pieces."""
    cache: str = "perplexity.sqlite"
    """SQLite file of scores, relative to the run folder. One file may serve many runs."""


class SFTStage(StageBase, BatchOverrides, ChatOverrides):
    """Supervised fine-tuning on demonstrations; the loss covers the answer only."""

    kind: Literal["sft"]
    """The kind of the stage."""
    steps: int = Field(ge=1)
    """Number of steps."""
    demonstrations: dict[str, int] = Field(default_factory=dict)
    """Number of generated demonstrations by task: a name, or ``module:function``."""
    data: str | None = None
    """JSONL or Parquet file with ``prompt`` and ``demonstration``, besides or instead of generated ones."""
    held_out: int = Field(0, ge=0)
    """Demonstrations of each task (dev split), and of ``data``, kept for the held-out loss; above 0 the stage ends with
    the weights that had the lowest."""
    held_out_every: int = Field(20, ge=1)
    """Steps between two measurements of the held-out loss."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""

    @model_validator(mode="after")
    def _has_data(self) -> "SFTStage":
        if not self.demonstrations and not self.data:
            raise ValueError("give demonstrations (task: number) or data (a file); both are empty")
        return self


class Gate(Strict):
    """A condition on one metric; ``above`` and ``below`` may both be set."""

    metric: str
    """Of a step: any metric that the stage's steps log, such as ``task/age/accuracy``, except those of a clock.
    On entering: of the last evaluation before, ``accuracy``, ``format`` or ``accuracy/<task>``."""
    above: float | None = None
    """The metric is at least this."""
    below: float | None = None
    """The metric is at most this."""
    steps: int = Field(1, ge=1)
    """For so many steps in a row."""

    @model_validator(mode="after")
    def _possible(self) -> "Gate":
        if self.above is None and self.below is None:
            raise ValueError(f"gate on {self.metric}: give above or below; both are empty")
        return self


class GatesConfig(Strict):
    """When a stage begins, ends early, or goes back. Without gates it begins at once and does all its steps."""

    enter: tuple[Gate, ...] = ()
    """All must hold in the last evaluation before the stage."""
    otherwise: Literal["stop", "skip"] = "stop"
    """What happens when they don't: the run stops and can be resumed, or the stage is left out."""
    leave: tuple[Gate, ...] = ()
    """When all hold, the stage ends; it does ``steps`` at most."""
    fall_back: tuple[Gate, ...] = ()
    """When any holds, the stage ends with the weights of its last checkpoint from before, or those it began with."""


class PromptedStage(StageBase, BatchOverrides, ChatOverrides):
    """What a stage has whose policy answers prompts, and whose rewards score the answers."""

    tasks: dict[str, float] = Field(default_factory=dict)
    """Weight of each task in the prompts of a step: a generated task (its name, or ``module:function``), or a JSONL or
    Parquet file of prompts with references."""
    data: str | None = None
    """One such file, instead of ``tasks``."""
    reward: dict[str, RewardPart] | None = None
    """Rewards of this stage, as in ``reward.parts``; empty takes those."""
    max_prompt_tokens: int = Field(128, ge=1)
    """Longest prompt; a longer one is an error, never cut."""
    sampling: SamplingConfig = SamplingConfig()
    """How completions are drawn."""

    @property
    def sources(self) -> dict[str, float]:
        """Weight of each source of prompts: a task's name, or the path of a file."""
        return {self.data: 1.0} if self.data else self.tasks

    @property
    @abstractmethod
    def steps_that_sample(self) -> int:
        """Number of its steps that sample."""

    @model_validator(mode="after")
    def _has_prompts(self) -> "PromptedStage":
        if bool(self.tasks) == bool(self.data):
            raise ValueError("give either tasks (name: weight) or data (a file of prompts)")
        if self.tasks and not sum(self.tasks.values()) > 0:
            raise ValueError("the weights of tasks add up to 0; give at least one a positive weight")
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature=0 draws the same completion n times; use a temperature above 0")
        return self


class GRPOStage(PromptedStage):
    """Reinforcement learning with group-relative advantages."""

    kind: Literal["grpo"]
    """The kind of the stage."""
    steps: int = Field(ge=1)
    """Number of steps."""
    replay: float = Field(0.0, ge=0, lt=1)
    """Share of prompts drawn from tasks of the GRPO stages before this one that it does not name itself."""
    difficulty: float = Field(0.0, ge=0, le=1)
    """How far sampling turns to tasks, and to prompts of a file, that the policy solves about half of the time: weights
    are multiplied by ``1 - d + 4 d p (1 - p)``, p being the observed accuracy, and before the first
    group 1/2 or ``pass_rate`` in a prompt's ``meta``. 0 is off."""
    held_out: int = Field(0, ge=0)
    """Questions of each task that are kept out of training (a generated task's dev split, a share of a file) and
    answered greedily as the stage goes on; above 0 it ends with the weights that had the highest mean accuracy."""
    held_out_every: int = Field(10, ge=1)
    """Steps between two measurements of that accuracy."""
    may_lose: float = Field(0.02, ge=0, le=1)
    """With ``held_out``: weights don't count with which a task is further than this below its accuracy when the first
    GRPO stage with it began; where none count, the stage ends with those that it began with."""
    gates: GatesConfig = GatesConfig()
    """Conditions of entering, leaving and falling back."""
    algorithm: AlgorithmConfig = AlgorithmConfig()
    """The update."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""

    @property
    def steps_that_sample(self) -> int:
        """Number of its steps that sample: all."""
        return self.steps

    @model_validator(mode="after")
    def _possible(self) -> "GRPOStage":
        if self.sampling.top_p != 1 or self.sampling.top_k != -1:
            raise ValueError("top_p and top_k must stay 1 and -1 while training: truncation biases the log-probs")
        return self


class KeepConfig(Strict):
    """Which answers of a round a rejection stage trains on. One that was cut off is never kept."""

    at_least: float
    """Lowest score of a right answer."""
    reward: str | None = None
    """The reward whose score that is, before its weight; empty is the weighted sum of all."""
    per_prompt: int = Field(1, ge=1)
    """Most answers of one prompt in a round, none twice: those with the highest weighted sum."""
    shortest: bool = False
    """Keep the shortest right answers instead (tokens)."""


class RejectionStage(PromptedStage):
    """Rejection sampling: in rounds, sample the policy, keep its right answers, and fine-tune it on them."""

    kind: Literal["rejection"]
    """The kind of the stage."""
    rounds: int = Field(1, ge=1)
    """Number of rounds; each samples the policy that the one before has trained."""
    sampling_steps: int = Field(ge=1)
    """Steps of a round that sample, ``prompts_per_step`` prompts each."""
    training_steps: int = Field(ge=1)
    """Steps of a round that train after that, each on ``prompts_per_step`` of the answers kept in it."""
    keep: KeepConfig
    """Which answers are kept."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule, over the training steps of all rounds."""

    @property
    def steps_of_a_round(self) -> int:
        """Number of steps of a round."""
        return self.sampling_steps + self.training_steps

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.rounds * self.steps_of_a_round

    @property
    def steps_that_sample(self) -> int:
        """Number of its steps that sample."""
        return self.rounds * self.sampling_steps


class EvaluateStage(StageBase, ChatOverrides):
    """Held-out accuracy of the current policy, per task, with a confidence interval."""

    kind: Literal["evaluate"]
    """The kind of the stage."""
    tasks: tuple[str, ...] = ()
    """Generated tasks: names, or ``module:function``."""
    data: str | None = None
    """JSONL or Parquet file of prompts with references, besides or instead of generated tasks."""
    split: Literal["dev", "test"] = "test"
    """Held-out split of the generated tasks."""
    questions: int = Field(100, ge=1)
    """Questions of each task."""
    benchmarks: dict[str, str | int | tuple[str, ...]] = Field(default_factory=dict)
    """Benchmarks and their tasks, such as ``{root: DIR, lawbench: [3-6]}``, where an empty list means all tasks.
    ``root`` (folder of their data), ``shots`` (worked examples) and ``limit`` (questions of each task) are settings."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.0)
    """Validation sampling; greedy unless set."""

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        for name, tasks in given.items() if isinstance(given, dict) else ():
            for task in tasks if isinstance(tasks, list | tuple) else ():
                if not isinstance(task, str):
                    raise ValueError(f"{name}: task {task} was read as a number; put its name in quotes, such as '1_1'")
        return given

    @model_validator(mode="after")
    def _has_data(self) -> "EvaluateStage":
        settings = {"root": str, "shots": int, "limit": int}
        for name, value in self.benchmarks.items():
            if not isinstance(value, settings.get(name, tuple)):
                raise ValueError(f"benchmarks.{name}={value!r}: root is text, shots and limit numbers, the rest lists")
        if not self.tasks and not self.data and not self.benchmarks.keys() - settings:
            raise ValueError("give tasks, data or benchmarks; all are empty")
        return self


Stage = Annotated[
    MidTrainingStage | PerplexityStage | SFTStage | RejectionStage | GRPOStage | EvaluateStage,
    Field(discriminator="kind"),
]


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
