"""The configuration of a run, as typed models.

Hydra composes YAML groups and overrides; these models validate the result. Nothing here imports torch or ray, so a
configuration can be checked on any laptop. Every field is documented by the string below it, and every default that a
laptop can run with is given here, so that a YAML file holds only what differs.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """Base of every section: an unknown key or a wrong type is an error, and values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


class NanoConfig(Strict):
    """Shape of the model built from scratch when ``model.path`` is empty."""

    vocab_size: int = Field(3072, ge=300)
    """Size of the byte-level BPE vocabulary, special tokens included (tokens)."""
    hidden_size: int = Field(192, ge=16)
    """Width of the residual stream."""
    layers: int = Field(4, ge=1)
    """Number of decoder layers."""
    heads: int = Field(6, ge=1)
    """Number of query heads."""
    kv_heads: int = Field(2, ge=1)
    """Number of key-value heads; divides ``heads``."""
    head_dim: int = Field(32, ge=32, multiple_of=32)
    """Width of one head; vLLM's attention on CPU takes multiples of 32."""
    intermediate_size: int = Field(512, ge=16)
    """Width of the feed-forward layer."""
    tie_embeddings: bool = True
    """Whether input and output embeddings are one matrix."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "NanoConfig":
        if self.heads % self.kv_heads:
            raise ValueError(f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}")
        return self


class ModelConfig(Strict):
    """The policy that the curriculum starts from."""

    name: str = "nano"
    """Short name, used in the run folder and in tables."""
    path: str | None = None
    """Hugging Face folder or hub name of a causal language model; empty builds the nano model."""
    nano: NanoConfig = NanoConfig()
    """Shape of the nano model; ignored when ``path`` is set."""
    max_length: int = Field(512, ge=32)
    """Longest sequence, prompt and completion together (tokens)."""
    lora_rank: int = Field(0, ge=0)
    """Rank of the LoRA adapter on all linear layers; 0 trains every weight."""
    lora_alpha: int = Field(16, ge=1)
    """LoRA scale numerator: the adapter's output is multiplied by ``lora_alpha / lora_rank``."""
    trust_remote_code: bool = False
    """Whether code that lies beside the weights may run. Off unless the source is trusted."""


class TrainerConfig(Strict):
    """The training engine and its processes."""

    engine: Literal["fsdp", "megatron"] = "fsdp"
    """Training engine: ``fsdp`` is verl's FSDP2 engine; ``megatron`` is not built yet and is refused."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the trainer; ``auto`` takes CUDA where torch sees one."""
    world_size: int = Field(1, ge=1)
    """Number of trainer ranks (data parallel, sharded)."""
    threads: int = Field(2, ge=1)
    """CPU threads of each rank; trainer and rollout take turns, so both may use every core."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    checkpoint_every: int = Field(20, ge=1)
    """Steps between two checkpoints inside a stage; a stage always ends with one."""
    keep_last: int = Field(2, ge=1)
    """Number of most recent checkpoints kept for each stage."""
    max_bad_updates: int = Field(3, ge=1)
    """Updates with a non-finite gradient in a row (each skipped) after which the run stops."""
    timeout_s: float = Field(1800, gt=0)
    """Longest wait for one call of the trainer (seconds)."""


class RolloutConfig(Strict):
    """The vLLM engine that samples completions."""

    replicas: int = Field(1, ge=1)
    """Number of rollout actors; the prompts of a step are dealt among them."""
    threads: int = Field(2, ge=1)
    """CPU threads of the engine when it runs without a GPU."""
    max_num_seqs: int = Field(256, ge=1)
    """Sequences decoded together."""
    kv_cache_gb: int = Field(1, ge=1)
    """Memory of the key-value cache on CPU (GiB)."""
    gpu_memory_utilization: float = Field(0.5, gt=0, le=0.95)
    """Share of GPU memory that vLLM may take."""
    enforce_eager: bool = True
    """Skip compilation: starts faster, decodes slower."""
    weight_transfer: Literal["auto", "shm", "ipc", "nccl"] = "auto"
    """How weights reach vLLM: ``shm`` (shared memory of one machine), ``ipc`` or ``nccl`` on GPUs; auto chooses."""
    verify_sync: bool = False
    """Stop the run when trainer and rollout log-probs differ by more than 1e-4 in fp32 after a weight sync."""
    timeout_s: float = Field(600, gt=0)
    """Longest wait for one batch of completions (seconds); the actor is then replaced and the batch issued again."""
    max_restarts: int = Field(5, ge=0)
    """How often a rollout actor may be replaced in a run before the run stops."""


class RewardConfig(Strict):
    """How a completion is scored: a weighted sum of named rewards."""

    parts: dict[str, float] = Field(default_factory=lambda: {"accuracy": 1.0, "format": 0.1}, min_length=1)
    """Weight of each reward by its registered name; every part is logged beside the sum."""
    workers: int = Field(1, ge=1)
    """Number of reward actors."""
    timeout_s: float = Field(60, gt=0)
    """Longest wait for the verdicts of one batch (seconds); the actor is then replaced, its groups are tried again."""
    max_restarts: int = Field(5, ge=0)
    """How often a reward actor may be replaced in a run before the run stops."""


class JudgeConfig(Strict):
    """The verifier of legal validity."""

    kind: Literal["statute"] = "statute"
    """``statute``: rule-based check of citations and quotations against the statute database."""


class ClusterConfig(Strict):
    """The Ray cluster."""

    address: str | None = None
    """Address of a running cluster (``auto`` or ``ray://…``); empty starts a local one."""
    num_cpus: int | None = Field(None, ge=1)
    """CPUs of the local cluster; empty takes all."""
    object_store_mb: int = Field(256, ge=80)
    """Size of the local object store (MB)."""
    dashboard: bool = True
    """Whether the Ray dashboard runs (on loopback)."""
    dashboard_port: int = Field(8265, ge=1024, le=65535)
    """Port of the dashboard."""
    placement_timeout_s: float = Field(120, gt=0)
    """Longest wait for the resources that the run asks for (seconds)."""


class TrackerConfig(Strict):
    """Where the numbers of a run go, beside metrics.jsonl."""

    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    """Weights & Biases mode; ``auto`` is online when an API key is set in the environment and offline otherwise."""
    project: str = "themis"
    """W&B project."""
    dump_rollouts: bool = True
    """Write every group with its verdicts to rollouts/*.parquet."""
    progress: bool = True
    """Show progress bars on a terminal."""


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


class RunConfig(Strict):
    """A whole run."""

    seed: int = Field(0, ge=0)
    """Seed of the model, the tasks, the samplers and vLLM."""
    run_dir: str
    """Folder of the run; the same folder resumes."""
    resume: Literal["auto", "force", "restart"] = "auto"
    """``auto`` resumes and refuses a changed config; ``force`` resumes all the same; ``restart`` begins anew."""
    plan: bool = False
    """Print the plan and start nothing."""
    prompts_per_step: int = Field(16, ge=1)
    """Prompts of one step."""
    samples_per_prompt: int = Field(8, ge=1)
    """Completions of one prompt: the size of a group."""
    updates_per_step: int = Field(1, ge=1)
    """Optimizer updates made from the samples of one step."""
    max_tokens_per_microbatch: int = Field(4096, ge=1)
    """Most padded tokens of one forward pass on one rank."""
    model: ModelConfig = ModelConfig()
    """The policy."""
    trainer: TrainerConfig = TrainerConfig()
    """The training engine."""
    rollout: RolloutConfig = RolloutConfig()
    """The sampling engine."""
    reward: RewardConfig = RewardConfig()
    """The reward."""
    judge: JudgeConfig = JudgeConfig()
    """The verifier of legal validity."""
    cluster: ClusterConfig = ClusterConfig()
    """The Ray cluster."""
    tracker: TrackerConfig = TrackerConfig()
    """Where numbers go."""
    curriculum: CurriculumConfig
    """What is learnt, in which order."""
