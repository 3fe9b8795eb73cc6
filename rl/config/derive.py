"""Numbers that follow from the configuration, and combinations that can't work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curricula.errors import DataError
from curricula.records import is_file
from curricula.tasks import find_task
from rewards.registry import Part
from rewards.total import expand, split
from rl.config.cpu_memory import cpu_memory
from rl.config.data_problems import data_problems, pas_problems
from rl.config.disk import disk_use
from rl.config.gate_conditions import gate_problems
from rl.config.gpu_plan import GpuPlan, StageWork, gpu_plan, on_gpus
from rl.config.metric import LoggingSetting
from rl.config.parallel import parameter_count
from rl.config.parallel import problems as parallel_problems
from rl.config.ranks import RankPlan, rank_plans
from rl.config.schema import RunConfig
from rl.config.stages import (
    ChatOverrides,
    EvaluateStage,
    GRPOStage,
    MidTrainingStage,
    PerplexityStage,
    PromptedStage,
    RejectionStage,
    RewardPart,
    SFTStage,
    Stage,
)
from rl.errors import UserError


@dataclass(frozen=True)
class BatchNumbers:
    """The four batch numbers of a stage, resolved."""

    prompts_per_step: int
    samples_per_prompt: int
    updates_per_step: int
    max_tokens_per_microbatch: int


@dataclass(frozen=True)
class StagePlan:
    """What one stage will do."""

    name: str
    kind: str
    steps: int
    batch: BatchNumbers
    sequences_per_update: int
    longest_row: int
    """Most tokens of one sequence."""
    work: StageWork
    """The most that a step computes."""


@dataclass(frozen=True)
class Plan:
    """What a run will do."""

    stages: tuple[StagePlan, ...]
    parameters: int | None
    """Weights of the model; None when they can't be known without loading it."""
    actors: tuple[tuple[str, str], ...]
    """(name, what it is)."""
    memory: tuple[tuple[str, float | None], ...]
    """(what, GiB), estimates."""
    disk: tuple[tuple[str, float | None], ...] = ()
    """(what, GiB) of the run folder, at most."""
    ranks: tuple[RankPlan, ...] = ()
    """What each trainer rank holds, where the model is cut by tensors or layers and its shape is known."""
    gpus: GpuPlan | None = None
    """What the GPUs do; None for a run on CPUs."""


def batch_numbers(config: RunConfig, stage: Stage) -> BatchNumbers:
    """A stage's batch numbers: its own where it sets them, else the run's."""
    names = BatchNumbers.__dataclass_fields__
    return BatchNumbers(**{name: getattr(stage, name, None) or getattr(config, name) for name in names})


def chat_template_kwargs(config: RunConfig, stage: ChatOverrides) -> dict[str, Any]:
    """Variables of the chat template in a stage: its own, and those of the model that it does not set."""
    return config.model.chat_template_kwargs | stage.chat_template_kwargs


def derive(config: RunConfig) -> Plan:
    """The plan of a valid configuration."""
    parameters = parameter_count(config.model)
    stages = tuple(_stage_plan(config, stage) for stage in config.curriculum.stages)
    engine = {"fsdp": "verl FSDP2 engine", "megatron": "megatron-core engine"}[config.trainer.engine]
    actors = [(f"trainer/{rank}", engine) for rank in range(config.trainer.world_size)]
    actors += [(f"rollout/{i}", "vLLM engine") for i in range(config.rollout.replicas)]
    actors += [(f"reward/{i}", "rule-based rewards") for i in range(config.reward.workers)]
    if wants_judge(config):
        actors.append(("judge/0", f"{config.judge.model or 'statute'} judge"))
    if wants_reference(config):
        actors += [(f"reference/{rank}", "frozen engine") for rank in range(config.trainer.world_size)]
    on_gpu, work = on_gpus(config), [stage.work for stage in stages]
    ranks = rank_plans(config, max((stage.tokens for stage in work), default=0), on_gpu)
    memory = () if on_gpu else cpu_memory(config, parameters, [role for role, _ in actors])
    gpus = gpu_plan(config, work, wants_reference(config)) if on_gpu else None
    return Plan(stages, parameters, tuple(actors), memory, disk_use(config, parameters, work), ranks, gpus)


def wants_reference(config: RunConfig) -> bool:
    """Whether a frozen engine is needed: for a KL term, except with LoRA, whose base model is the reference."""
    stages = [stage for stage in config.curriculum.stages if isinstance(stage, GRPOStage)]
    return config.model.lora_rank == 0 and any(stage.algorithm.kl_coef > 0 for stage in stages)


def wants_judge(config: RunConfig) -> bool:
    """Whether a stage weighs a reward that the judge decides."""
    stages = [stage for stage in config.curriculum.stages if isinstance(stage, PromptedStage)]
    return any(split(reward_sum(config, stage))[1] for stage in stages)


def reward_sum(config: RunConfig, stage: PromptedStage) -> dict[str, float | Part]:
    """The rewards of a stage: its own where it sets them, else the run's."""
    return _parts(stage.reward or config.reward.parts)


def logging_setting(config: RunConfig, stage: Stage) -> LoggingSetting:
    """What decides which metrics a stage logs.

    Raises:
        ValueError: for rewards that can't be used, as :func:`rewards.total.expand`.
    """
    if not isinstance(stage, PromptedStage):
        return LoggingSetting(stage)
    judge = config.judge.kind == "llm" and wants_judge(config)
    return LoggingSetting(stage, tuple(expand(reward_sum(config, stage))), judge)


def task_weights(config: RunConfig, stage: PromptedStage) -> dict[str, float]:
    """Weights of a stage's sources of prompts, adding up to 1: its own, and in replay those of the stages before it.

    A share of ``replay`` goes to the sources that earlier GRPO stages name and this one does not, in proportion to
    their shares there. They are scored by this stage's rewards.
    """
    own = _shares(stage.sources)
    if not isinstance(stage, GRPOStage):
        return own
    earlier: dict[str, float] = {}
    for before in config.curriculum.stages:
        if before.name == stage.name:
            break
        if isinstance(before, GRPOStage):
            for source, share in _shares(before.sources).items():
                if source not in own:
                    earlier[source] = earlier.get(source, 0.0) + share
    if not (stage.replay and earlier):
        return own
    replayed = {source: stage.replay * share for source, share in _shares(earlier).items()}
    return {source: (1 - stage.replay) * share for source, share in own.items()} | replayed


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight > 0}


def _parts(given: Mapping[str, RewardPart]) -> dict[str, float | Part]:
    return {name: Part(part.weight, part.range, part.clip, part.options) for name, part in given.items()}


def _stage_plan(config: RunConfig, stage: Stage) -> StagePlan:
    batch, steps, longest = batch_numbers(config, stage), 1, config.model.max_length
    most_trained = most_sampled = 0
    if isinstance(stage, MidTrainingStage):
        steps, sequences, longest = stage.steps, batch.prompts_per_step, stage.sequence_length
        most_trained = sequences * longest
    elif isinstance(stage, SFTStage):
        steps, sequences = stage.steps, batch.prompts_per_step
        most_trained = sequences * longest
    elif isinstance(stage, PromptedStage):
        steps, completions = stage.steps, batch.prompts_per_step * batch.samples_per_prompt
        sequences = completions // batch.updates_per_step
        longest = stage.max_prompt_tokens + stage.sampling.max_tokens
        most_trained, most_sampled = completions * longest, completions * stage.sampling.max_tokens
        if isinstance(stage, RejectionStage):  # whose training steps take one answer for each prompt
            sequences = batch.prompts_per_step
            most_trained = sequences * longest
    elif isinstance(stage, PerplexityStage):
        sequences, longest = 0, stage.window
    else:
        sequences = stage.questions * max(1, len(stage.tasks))
        most_sampled = sequences * stage.sampling.max_tokens
    tokens = 0 if isinstance(stage, EvaluateStage) else batch.max_tokens_per_microbatch
    work = StageWork(stage.name, tokens, most_trained, most_sampled)
    return StagePlan(stage.name, stage.kind, steps, batch, sequences, longest, work)


def check(config: RunConfig, elsewhere: bool = False) -> None:
    """Refuse combinations that can't work, all at once, before anything starts.

    Args:
        config: the run.
        elsewhere: whether it will run on other machines, so that absolute paths are not looked for on this one.

    Raises:
        UserError: one line for each problem.
    """
    problems = parallel_problems(config)

    def seen(path: str) -> bool:
        return not (elsewhere and Path(path).is_absolute())

    path = config.model.path
    if path is not None and _looks_like_folder(path) and seen(path) and not Path(path).expanduser().is_dir():
        problems.append(f"model.path={path}: no such folder; give a Hugging Face folder or a hub name (owner/name)")
    problems += data_problems(config, seen)
    for stage in config.curriculum.stages:
        problems += [f"stage {stage.name}: {problem}" for problem in _stage_problems(config, stage)]
    problems += _reward_problems(config, "reward.parts", config.reward.parts)
    judge = config.judge
    served = judge.model if judge.kind == "llm" and judge.base_url is None else None
    if served and seen(served) and not Path(served).expanduser().is_dir():
        problems.append(
            f"judge.model={judge.model}: no such folder; give one that the judge actor can serve, or judge.base_url"
        )
    if config.rollout.weight_transfer == "adapter" and not 0 < config.model.lora_rank <= 512:
        problems.append("rollout.weight_transfer=adapter needs model.lora_rank between 1 and 512; set it, or use auto")
    if (config.cluster.placement, config.rollout.weight_transfer) in (("split", "ipc"), ("colocate", "nccl")):
        problems.append(
            f"rollout.weight_transfer={config.rollout.weight_transfer} can't serve "
            f"cluster.placement={config.cluster.placement}: ipc needs a shared GPU, nccl a GPU for each side; use auto"
        )
    if problems:
        raise UserError("this configuration can't work:\n  " + "\n  ".join(problems))


def _looks_like_folder(path: str) -> bool:
    return path.startswith((".", "~", "/")) or path.count("/") > 1


def _stage_problems(config: RunConfig, stage: Stage) -> list[str]:
    batch, problems = batch_numbers(config, stage), []
    longest = config.model.max_length
    if isinstance(stage, PromptedStage):
        longest = stage.max_prompt_tokens + stage.sampling.max_tokens
        if stage.data and not is_file(stage.data):
            problems.append(f"data={stage.data} is neither .jsonl nor .parquet; convert it to one of them")
        problems += [p for task in stage.tasks if not is_file(task) for p in _complaint(find_task, task)]
        problems += _reward_problems(config, "reward", stage.reward or {})
    if isinstance(stage, GRPOStage):
        problems += _gate_problems(config, stage)
        if stage.held_out and config.rollout.overlap == "async":
            problems.append(
                f"held_out={stage.held_out} asks the engines between steps, and with rollout.overlap=async they never "
                f"pause; take rollout.overlap=periodic, or held_out=0 and an evaluate stage after this one"
            )
        if batch.samples_per_prompt < 2:
            problems += _single_sample_problems(stage, batch)
        if batch.prompts_per_step < batch.updates_per_step:
            problems.append(
                f"updates_per_step={batch.updates_per_step} is more than prompts_per_step={batch.prompts_per_step}; "
                f"groups are not split between updates"
            )
    elif isinstance(stage, RejectionStage):
        problems += _keep_problems(config, stage)
    elif isinstance(stage, MidTrainingStage):
        longest = stage.sequence_length
        problems += pas_problems(config, stage)
    elif isinstance(stage, PerplexityStage):
        longest = stage.window
    elif isinstance(stage, SFTStage):
        problems += [p for task in stage.demonstrations for p in _complaint(find_task, task)]
    elif isinstance(stage, EvaluateStage):
        problems += [p for task in stage.tasks for p in _complaint(find_task, task)]
        longest = stage.sampling.max_tokens + 1
    if config.model.lora_rank and getattr(stage, "optim", None) and stage.optim.optimizer == "muon":  # type: ignore[union-attr]
        problems.append("optim.optimizer=muon is meant for whole matrices, not for LoRA's factors; use adamw")
    if longest > config.model.max_length:
        problems.append(f"needs sequences of {longest} tokens, more than model.max_length={config.model.max_length}")
    if not isinstance(stage, EvaluateStage) and batch.max_tokens_per_microbatch < longest:
        problems.append(
            f"max_tokens_per_microbatch={batch.max_tokens_per_microbatch} is less than one sequence of {longest} tokens"
        )
    return problems


def _gate_problems(config: RunConfig, stage: GRPOStage) -> list[str]:
    try:
        setting = logging_setting(config, stage)
    except ValueError:  # reported where the rewards are checked
        return []
    return gate_problems(setting, config.curriculum.stages, task_weights(config, stage))


def _keep_problems(config: RunConfig, stage: RejectionStage) -> list[str]:
    try:
        names = expand(reward_sum(config, stage))
    except ValueError:  # reported where the rewards are checked
        return []
    if stage.keep.reward in (None, *names):
        return []
    return [f"keep.reward={stage.keep.reward} is none of the stage's rewards: {', '.join(names)}"]


def _single_sample_problems(stage: GRPOStage, batch: BatchNumbers) -> list[str]:
    """Why a stage can't train on one completion of each prompt."""
    algorithm = stage.algorithm
    if algorithm.group_baseline:
        return [
            f"samples_per_prompt=1 leaves a group without a baseline, which algorithm.advantage={algorithm.advantage} "
            f"takes from it; use at least 2, or advantage=reinforce_plus_plus, which compares over the batch"
        ]
    if algorithm.refills:
        return [
            f"algorithm.refills={algorithm.refills} replaces groups of equal reward, and with samples_per_prompt=1 "
            f"all groups have one reward; set it to 0"
        ]
    if batch.prompts_per_step < 2:
        return ["prompts_per_step=1 with samples_per_prompt=1 leaves nothing to compare a completion with; raise one"]
    return []


def _reward_problems(config: RunConfig, where: str, given: Mapping[str, RewardPart]) -> list[str]:
    problems = []
    for name, part in given.items():
        try:
            expand(_parts({name: part}))
        except ValueError as error:
            problems.append(f"{where}: {error}")
    if problems:
        return problems
    try:
        parts = expand(_parts(given))
    except ValueError as error:
        return [f"{where}: {error}"]
    if "rubric" in parts and config.judge.kind == "statute":
        return [f"{where}: rubric needs a language model as judge; set judge.kind=llm and judge.model"]
    return []


def _complaint(look_up: Callable[[str], object], name: str) -> list[str]:
    try:
        look_up(name)
    except (DataError, ValueError) as error:
        return [str(error)]
    return []
