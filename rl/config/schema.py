"""The configuration of a run, as typed models.

Hydra composes YAML groups and overrides; these models validate the result. Nothing here imports torch or ray, so a
configuration can be checked on any laptop. Every field is documented by the string below it, and every default that a
laptop can run with is given here, so that a YAML file holds only what differs.
"""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rl.config.base import Strict
from rl.config.stages import CurriculumConfig, RewardPart
from rl.language import Lang


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
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables of the chat template, such as ``enable_thinking: false``. One that the template does not use is an
    error."""


class TrainerConfig(Strict):
    """The training engine and its processes."""

    engine: Literal["fsdp", "megatron"] = "fsdp"
    """Training engine: ``fsdp`` is verl's FSDP2 engine; ``megatron`` is megatron-core, which can also cut a model by
    tensors and layers (docs/guides/large-models.md)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the trainer; ``auto`` takes CUDA where torch sees one."""
    world_size: int = Field(1, ge=1)
    """Number of trainer ranks. With fsdp each has its share of a batch and of the weights; with megatron a group of
    ``tensor_parallel`` x ``pipeline_parallel`` x ``context_parallel`` ranks has a share of the batch."""
    tensor_parallel: int = Field(1, ge=1)
    """With megatron: ranks over which every layer and the vocabulary are cut; divides the numbers of heads."""
    pipeline_parallel: int = Field(1, ge=1)
    """With megatron: stages into which the layers are dealt, as many to each."""
    expert_parallel: int = Field(1, ge=1)
    """With megatron: ranks of a stage over which the experts of a mixture are dealt; divides their number and
    ``world_size`` / ``pipeline_parallel``."""
    context_parallel: int = Field(1, ge=1)
    """With megatron: ranks over which the tokens of every row are dealt, for long rows; each has the same weights."""
    sequence_parallel: bool = False
    """With megatron: also cut what lies between the cut parts of a layer, along the row: less memory for activations.
    """
    recompute: Literal["none", "selective", "full"] = "none"
    """With megatron: activations that are computed again in the backward pass: those of attention (``selective``), or
    all (``full``: least memory, about a third more time)."""
    distributed_optimizer: bool = True
    """With megatron: cut the optimizer's state over the ranks that have the same weights."""
    kernels: Literal["auto", "blocks", "transformer_engine"] = "auto"
    """With megatron on a GPU: ``auto`` takes a kernel for sequences of several lengths for attention, of torch or of
    flash-attn, where there is one; ``blocks`` pads sequences of similar length to blocks, as on a CPU;
    ``transformer_engine`` also takes that package's layers. None of them has run on a GPU yet."""
    threads: int = Field(2, ge=1)
    """CPU threads of each rank; trainer and rollout take turns, so both may use every core."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time. With megatron the same as
    ``recompute=full``."""
    offload_optimizer: bool = False
    """Keep the optimizer's moments in CPU memory, except during the update."""
    checkpoint_every: int = Field(20, ge=1)
    """Steps between two checkpoints inside a stage; a stage always ends with one."""
    stop_within_s: float = Field(60, ge=0)
    """SIGTERM in a training stage: the step is done and saved before the run ends, if that takes no longer (seconds). 0
    ends the run at once."""
    keep_last: int = Field(2, ge=1)
    """Number of most recent checkpoints kept for each stage."""
    keep: Literal["all", "needed"] = "all"
    """What stays of stages that are done: their last checkpoints and the best, or (``needed``) only the one with the
    weights that the next stage starts from, so that steps of a stage that is done can't be replayed. Exports stay."""
    max_bad_updates: int = Field(3, ge=1)
    """Updates with a non-finite gradient in a row (each skipped) after which the run stops."""
    timeout_s: float = Field(1800, gt=0)
    """Longest wait for one call of the trainer (seconds)."""

    @property
    def recomputes(self) -> Literal["none", "selective", "full"]:
        """What megatron computes again in the backward pass."""
        return "full" if self.gradient_checkpointing else self.recompute


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
    weight_transfer: Literal["auto", "shm", "ipc", "nccl", "adapter"] = "auto"
    """How weights reach vLLM: ``shm`` (one machine's memory), ``ipc`` (same GPU), ``nccl`` (other GPUs), ``adapter``
    (only the LoRA adapter, through one machine's memory); ``auto`` takes one of the first three."""
    overlap: Literal["none", "periodic", "async"] = "periodic"
    """``periodic``: groups are scored and trained on as they complete, weights move between steps; ``none``: one after
    the other; ``async``: the engines continue across weight updates, within ``max_staleness``."""
    max_staleness: int = Field(1, ge=1)
    """With ``overlap=async``: most updates between the first token of a group and its training."""
    verify_sync: bool = False
    """Compare log-probs of trainer and rollout after every weight sync, not only after the first two of each engine;
    in fp32 those of the sampled tokens too. The run stops when they differ by more than 1e-4, or eight times what one
    more rounding of each number moves them by (in bf16: 0.1 on average)."""
    timeout_s: float = Field(600, gt=0)
    """Longest silence of a rollout actor at work (seconds); it is then replaced and asked again. However long a batch
    or an evaluation takes in all, an actor that makes progress answers every few seconds."""
    max_restarts: int = Field(5, ge=0)
    """How often a rollout actor may be replaced in a run before the run stops."""


class RewardConfig(Strict):
    """How a completion is scored: a weighted sum of named rewards."""

    parts: dict[str, RewardPart] = Field(
        default_factory=lambda: {"accuracy": RewardPart(weight=1.0), "format": RewardPart(weight=0.1)}, min_length=1
    )
    """Each reward by its name (``python -m rewards list``), by that of a published total, or as ``module:function``; a
    number is its weight. Every part is logged beside the sum."""
    workers: int = Field(1, ge=1)
    """Number of reward actors."""
    processes: int = Field(1, ge=1)
    """Worker processes of each reward actor, in which the rules run."""
    verdict_timeout_s: float = Field(10, gt=0)
    """Longest wait for one verdict (seconds); its worker is then killed and replaced, and the verdict is an error."""
    memory_mb: int = Field(2048, ge=256)
    """Address space of a worker (MB)."""
    network: bool = False
    """Let rewards open connections, such as to a scoring server of yours. They may then also reach every service of the
    machine that asks for no password."""
    timeout_s: float = Field(60, gt=0)
    """Longest silence of a reward actor at work (seconds), well above ``verdict_timeout_s``; it is then replaced and
    asked again. It returns the verdicts it has every quarter of this time, however many are asked for."""
    max_restarts: int = Field(5, ge=0)
    """How often a reward actor may be replaced in a run before the run stops."""


class JudgeConfig(Strict):
    """Who decides the judged rewards (legal_validity, rubric)."""

    kind: Literal["statute", "llm"] = "statute"
    """``statute``: rules over the statute database, only for legal_validity; ``llm``: a language model."""
    model: str | None = None
    """With ``llm``: name of the model at ``base_url``, or folder of the model that the judge actor serves itself."""
    base_url: str | None = None
    """Address of an OpenAI-compatible server (``http://…/v1``); empty serves ``model`` with vLLM on loopback."""
    api_key_env: str = "JUDGE_API_KEY"
    """Environment variable that holds the server's key."""
    language: Literal["zh", "en"] = "zh"
    """Language of the judge's prompts."""
    votes: int = Field(1, ge=1)
    """Answers for each completion, of which the median counts; more than one needs a temperature."""
    temperature: float = Field(0.0, ge=0)
    """Sampling temperature of the judge."""
    max_tokens: int = Field(512, ge=16)
    """Longest answer of the judge (tokens)."""
    max_model_len: int = Field(8192, ge=256)
    """Longest sequence of a judge that the actor serves itself (tokens)."""
    guided: Literal["json", "choice", "off"] = "json"
    """How the server keeps answers in their form: ``json`` schema, ``choice`` among the few answers without a
    reason (only with vLLM; cheap, and any model can do it), or ``off``."""
    concurrency: int = Field(16, ge=1)
    """Requests in flight."""
    requests_per_s: float = Field(0, ge=0)
    """Rate limit (token bucket); 0 is none."""
    timeout_s: float = Field(60, gt=0)
    """Longest wait for one answer (seconds)."""
    retries: int = Field(4, ge=0)
    """Further attempts, with back-off, after a failed one; then the verdict is an error."""
    batch_timeout_s: float = Field(600, gt=0)
    """Longest time without an answer while a batch is judged (seconds); what is missing then is an error."""
    start_timeout_s: float = Field(300, gt=0)
    """Longest start-up of a judge that the actor serves itself (seconds)."""
    gpu_memory_utilization: float = Field(0.4, gt=0, le=0.95)
    """Share of its GPU that such a judge may take."""
    fallback: Literal["none", "statute"] = "none"
    """What decides legal_validity where the model gave no answer; ``none`` leaves the error."""
    cache: str | None = "judge.sqlite"
    """SQLite file of answers, relative to the run folder; empty keeps none. One file may serve many runs."""
    price_in: float = Field(0, ge=0)
    """Price of a million prompt tokens, for ``judge/cost``."""
    price_out: float = Field(0, ge=0)
    """Price of a million completion tokens."""

    @model_validator(mode="after")
    def _possible(self) -> "JudgeConfig":
        if self.kind == "llm" and self.model is None:
            raise ValueError("kind=llm needs judge.model: the name of the served model, or a folder to serve")
        if self.base_url is not None and "@" in self.base_url.partition("://")[2].partition("/")[0]:
            raise ValueError(
                f"judge.base_url holds a login, and a run's configuration is written to its folder; take it out and "
                f"give the server's key in {self.api_key_env}"
            )
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(f"votes={self.votes} at temperature=0 are the same answer; set judge.temperature=0.7")
        return self


class StatutesConfig(Strict):
    """Which law is taught and judged."""

    as_of: date | None = None
    """The law in force on this day counts; empty is the day on which the run first starts, which its manifest keeps."""
    folder: str | None = None
    """Folder of laws that are added or corrected (docs/guides/statutes.md); they win over the statute package."""


class ClusterConfig(Strict):
    """The Ray cluster."""

    address: str | None = None
    """Address of a running cluster (``auto``, ``host:port`` or ``ray://host:port``); ``local`` starts one; empty takes
    the environment's ``RAY_ADDRESS`` and starts one where there is none."""
    num_cpus: int | None = Field(None, ge=1)
    """CPUs of the local cluster; empty takes all."""
    object_store_mb: int = Field(256, ge=80)
    """Size of the local object store (MB)."""
    dashboard: bool = True
    """Whether the Ray dashboard runs (on loopback)."""
    dashboard_port: int = Field(8265, ge=1024, le=65535)
    """Port of the dashboard; the next free one where it is taken."""
    placement: Literal["colocate", "split"] = "colocate"
    """``colocate``: trainer and rollout take turns on the same devices; ``split``: each has its own."""
    gpu_gb: float | None = Field(None, gt=1)
    """Memory of each GPU (GiB) for the plan; empty takes that of this machine's GPU, and 80 where there is none. A plan
    for ``trainer.device=auto`` on a machine without a GPU is for GPUs only where this is set."""
    ship_code: bool = False
    """Send the code to the nodes of a running cluster: our packages, and the modules of your own rewards. The
    packages of the lock files, models and data must be there (docs/guides/several-machines.md)."""
    placement_timeout_s: float = Field(120, gt=0)
    """Longest wait for the resources that the run asks for (seconds)."""
    on_loss: Literal["wait", "shrink"] = "wait"
    """What a run does whose trainer has lost a node that nothing replaces within ``placement_timeout_s``: ``wait`` ends
    it, for the same command to resume; ``shrink`` goes on with fewer ranks, from the last checkpoint."""
    frozen_s: float = Field(45, gt=0)
    """A process of an actor that a signal has stopped (SIGSTOP) for so long (seconds) is ended and replaced."""


class TrackerConfig(Strict):
    """Where the numbers of a run go, beside metrics.jsonl."""

    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    """Weights & Biases mode; ``auto`` is online when an API key is set in the environment and offline otherwise."""
    project: str = "themis"
    """W&B project."""
    dump_rollouts: bool = True
    """Write every group with its verdicts to rollouts/*.parquet."""
    keep_rollouts: int | None = Field(None, ge=1)
    """Number of last steps of each stage whose rollout files stay; empty keeps all."""
    progress: bool = True
    """Show progress bars on a terminal."""
    trace_steps: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Steps of each stage, from 0, of which traces/<stage>/step-NNNNNN.json says what each actor did when, for
    Perfetto."""


class RunConfig(Strict):
    """A whole run."""

    seed: int = Field(0, ge=0)
    """Seed of the model, the tasks, the samplers and vLLM."""
    run_dir: str
    """Folder of the run; the same folder resumes."""
    resume: Literal["auto", "force", "restart"] = "auto"
    """``auto`` resumes and refuses a changed config; ``force`` resumes anyway; ``restart`` starts from scratch."""
    plan: bool = False
    """Print the plan and start nothing."""
    lang: Lang = "en"
    """Language of the pages that the run writes: ``en``, or ``zh`` for Chinese."""
    data_from: str | None = None
    """Folder that a synthesis has written (its ``run_dir``), whose files a curriculum such as ``lead`` reads."""
    prompts_per_step: int = Field(16, ge=1)
    """Prompts of one step."""
    samples_per_prompt: int = Field(8, ge=1)
    """Completions of one prompt: the size of a group."""
    updates_per_step: int = Field(1, ge=1)
    """Optimizer updates made from the samples of one step."""
    max_tokens_per_microbatch: int = Field(4096, ge=1)
    """Most tokens of one forward pass on one rank; a prompt that a group shares counts once."""
    model: ModelConfig = ModelConfig()
    """The policy."""
    trainer: TrainerConfig = TrainerConfig()
    """The training engine."""
    rollout: RolloutConfig = RolloutConfig()
    """The sampling engine."""
    reward: RewardConfig = RewardConfig()
    """The reward."""
    judge: JudgeConfig = JudgeConfig()
    """Who decides the judged rewards."""
    statutes: StatutesConfig = StatutesConfig()
    """Which law is taught and judged."""
    cluster: ClusterConfig = ClusterConfig()
    """The Ray cluster."""
    tracker: TrackerConfig = TrackerConfig()
    """Where numbers go."""
    curriculum: CurriculumConfig
    """What is learnt, in which order."""
