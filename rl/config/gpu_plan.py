"""The plan of a run for its GPUs: what each holds, whether that fits, which layout would, and how long a step takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from rl.config.memory import Card, Work, cards, shortages
from rl.config.nearest import gpus, nearest
from rl.config.parallel import model_shape
from rl.config.schema import RunConfig
from rl.config.speed import sampling_seconds, training_seconds
from rl.errors import UserError

GPU_GIB = 80.0
"""Memory of a GPU where none is here and ``cluster.gpu_gb`` is empty."""


@dataclass(frozen=True)
class StageWork:
    """The most that a step of a stage computes: every sequence is as long as allowed."""

    name: str
    tokens: int
    """Most tokens of a micro-batch; 0 if nothing is trained."""
    trained: int
    """Tokens of a step."""
    sampled: int
    """Tokens of a step."""


@dataclass(frozen=True)
class StepTime:
    """Longest times of a step (seconds)."""

    stage: str
    training: tuple[float, float] | None
    """At the fastest and the slowest rate; None if nothing is trained, or no figure is known."""
    sampling: float | None


@dataclass(frozen=True)
class GpuPlan:
    """What a run's GPUs do."""

    cards: tuple[Card, ...]
    """Each kind of GPU; empty if the model's shape is not known."""
    times: tuple[StepTime, ...]
    gpus: int
    gib: float
    """Memory of each GPU."""
    shortages: tuple[str, ...]
    """Why it does not fit."""
    nearest: str
    """What would fit, if this does not."""

    @property
    def impossible(self) -> bool:
        """Whether it can't fit, whatever the estimates are worth."""
        return any(card.impossible for card in self.cards)

    @property
    def problem(self) -> str:
        """What is wrong and what would work; empty if it fits."""
        if not self.shortages:
            return ""
        return "this run does not fit on its GPUs:\n  " + "\n  ".join([*self.shortages, self.nearest])


def on_gpus(config: RunConfig) -> bool:
    """Whether a run is planned for GPUs, as far as this is known before Ray starts."""
    choice = config.trainer.device
    return choice == "cuda" or (choice == "auto" and (config.cluster.gpu_gb is not None or _gpu_here()))


def gpu_gib(config: RunConfig) -> float:
    """Memory of each GPU (GiB): as configured, else that of this machine's first, else :data:`GPU_GIB`."""
    if config.cluster.gpu_gb is not None:
        return config.cluster.gpu_gb
    if _gpu_here():
        import torch

        if torch.cuda.is_available():
            return float(torch.cuda.get_device_properties(0).total_memory / 2**30)
    return GPU_GIB


@cache
def _gpu_here() -> bool:
    return Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists()


def gpu_plan(config: RunConfig, stages: Sequence[StageWork], reference: bool) -> GpuPlan:
    """The plan of a run whose layout is possible.

    Args:
        config: of the run.
        stages: what its stages do.
        reference: whether there is a frozen reference model.
    """
    samples = any(stage.sampled for stage in stages)
    work = Work(max((stage.tokens for stage in stages), default=0), samples, reference)
    gib = gpu_gib(config)
    found = cards(config, work, gib)
    short = tuple(shortages(found, config))
    return GpuPlan(
        found,
        tuple(_time(config, stage) for stage in stages) if found else (),
        gpus(config, samples),
        gib,
        short,
        _advice(config, work, gib) if short else "",
    )


def _advice(config: RunConfig, work: Work, gib: float) -> str:
    if found := nearest(config, work, gib):
        return f"the nearest layout that fits: {found}"
    alone = nearest(config, replace(work, samples=False), gib) if work.samples else None
    advice = "no layout that was tried fits"
    return f"{advice}; without stages that sample, the nearest is {alone}" if alone else advice


def _time(config: RunConfig, stage: StageWork) -> StepTime:
    shape = model_shape(config.model)
    assert shape is not None, "there are cards"
    trains = stage.trained and config.trainer.engine == "fsdp"
    return StepTime(
        stage.name,
        training_seconds(stage.trained, shape.parameters, config.trainer.world_size) if trains else None,
        sampling_seconds(stage.sampled, shape.parameters, config.rollout.replicas) if stage.sampled else None,
    )


def require_room(plan: GpuPlan | None, *, certain: bool = False) -> None:
    """Refuse a run that does not fit; with ``certain`` only one of which that is sure.

    Raises:
        UserError: which GPUs are too full, of what, and the nearest layout that fits.
    """
    if plan is not None and plan.problem and (plan.impossible or not certain):
        raise UserError(plan.problem)
