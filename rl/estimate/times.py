"""The time of a run on this machine's CPUs, from what it computes and how fast that is here."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from rl.config.derive import Plan, wants_reference
from rl.config.parallel import ModelShape
from rl.config.schema import RunConfig
from rl.config.stages import OptimConfig, Stage
from rl.estimate.machine import Speed, Work, faster, measure
from rl.estimate.tokens import StageTokens

STEP_S = 0.0024
"""What vLLM needs for a step of decoding beside the model: its scheduler and its calls (CPU-seconds). This and the next
are of the machine of docs/measurements.md, from 1, 8 and 64 sequences of `python -m tools.bench.system`."""
SEQUENCE_S = 0.00011
"""The same for each sequence of the step: choosing the token, its log-prob, the text."""
START_S = 11.3
"""From the command to its first step, without what grows with the processes (seconds): Python, Ray, one engine and one
trainer. This and the next are of the same page, from the cold start and from the first step with up to 48 processes."""
PROCESS_S = 1.5
"""What each engine and each rank needs to start (CPU-seconds)."""
NOT_COUNTED = "moving weights, rewards, held-out losses, benchmarks, checkpoints"


@dataclass(frozen=True)
class StageTime:
    """How long a stage takes (seconds)."""

    name: str
    training: float
    sampling: float
    longest: bool
    """Whether that is with the longest completions."""

    @property
    def seconds(self) -> float:
        return self.training + self.sampling


def stage_times(config: RunConfig, plan: Plan, shape: ModelShape, stages: Sequence[StageTokens]) -> list[StageTime]:
    """The time of each stage; it measures this machine for :data:`rl.estimate.machine.SECONDS`."""
    flight = [_in_flight(config, stage) for stage in stages if stage.sequences]
    work = Work(
        row=max((stage.batch.max_tokens_per_microbatch for stage in plan.stages), default=4096),
        length=_length(plan, stages),
        sequences=max(flight, default=1),
        adapter=config.model.lora_rank > 0,
        muon=any(map(_muon, config.curriculum.stages)),
    )
    speed = measure(shape, work)
    both = zip(config.curriculum.stages, stages, strict=True)
    return [_time(config, shape, found, work, speed, _muon(stage)) for stage, found in both]


def _muon(stage: Stage) -> bool:
    """Whether a stage trains with Muon."""
    optim: OptimConfig | None = getattr(stage, "optim", None)
    return optim is not None and optim.optimizer == "muon"


def start_time(config: RunConfig, sampling: bool) -> float:
    """How long the processes of a run take to start on this machine (seconds).

    Args:
        config: of the run.
        sampling: whether it has rollout engines.
    """
    ranks = config.trainer.world_size * (1 + wants_reference(config))
    return START_S + PROCESS_S * (ranks + config.rollout.replicas * sampling) / (os.cpu_count() or 1)


def _time(config: RunConfig, shape: ModelShape, stage: StageTokens, work: Work, speed: Speed, muon: bool) -> StageTime:
    trainer, rollout = config.trainer, config.rollout
    again = speed.forward if trainer.recomputes == "full" else 0.0
    training = stage.trained * (speed.train + again) + stage.updates * shape.parameters * speed.update
    training += stage.updates * speed.orthogonal * muon * trainer.world_size  # each rank computes all of them
    training = (training + stage.read * speed.forward) / (
        trainer.world_size * _threads(trainer.world_size, trainer.threads)
    )
    if not stage.sequences:
        return StageTime(stage.name, training, 0.0, False)
    together = _in_flight(config, stage)
    turns = stage.batches * math.ceil(stage.sequences / rollout.replicas / together)
    turns += stage.measurements * math.ceil(stage.questions / rollout.replicas / together)
    products = together / work.sequences * speed.decode / _threads(rollout.replicas, rollout.threads)
    step = STEP_S + together * SEQUENCE_S + products
    return StageTime(stage.name, training, turns * stage.length * step, stage.longest)


def _threads(processes: int, threads: int) -> float:
    """How many times faster each of several processes is with its threads than one thread is, on these cores."""
    cores = (os.cpu_count() or 1) / processes
    return faster(max(1, min(threads, int(cores)))) * min(1.0, cores)


def _in_flight(config: RunConfig, stage: StageTokens) -> int:
    """Sequences that an engine decodes together."""
    return max(1, min(config.rollout.max_num_seqs, math.ceil(stage.sequences / config.rollout.replicas)))


def _length(plan: Plan, stages: Sequence[StageTokens]) -> int:
    """Tokens of a sequence in training, over all stages."""
    trained = [(found.longest_row, stage.trained) for found, stage in zip(plan.stages, stages, strict=True)]
    whole = sum(tokens for _, tokens in trained)
    return round(sum(row * tokens for row, tokens in trained) / whole) if whole else 256
