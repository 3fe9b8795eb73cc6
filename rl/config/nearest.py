"""The nearest layout that fits on GPUs: the fewest of them, and what must be changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rl.config.memory import LARGEST_SHARE, Work, cards, rollout_gib, shortages
from rl.config.parallel import MEGATRON_KEYS, problems
from rl.config.schema import RunConfig, TrainerConfig

NODE = 8
"""GPUs of a node."""
MOST = 16
"""Nodes that are tried."""
MOST_STAGES = 16
"""Pipeline stages that are tried."""


def nearest(config: RunConfig, work: Work, gib: float) -> str | None:
    """Overrides that make a run fit, with the number of GPUs; None if no layout that is tried does.

    The configured placement and engine are tried before the other ones, on as many GPUs as now and on whole nodes.
    """
    if work.samples and rollout_gib(config) > LARGEST_SHARE * gib:
        return None
    now = gpus(config, work.samples)
    for number in sorted({now, *(NODE * n for n in range(1, MOST + 1) if NODE * n >= now)}):
        for found in _layouts(config, work, number):
            if not problems(found) and not shortages(cards(found, work, gib), found):
                nodes = f", {number // NODE} × {NODE}" if number % NODE == 0 else ""
                return f"{' '.join(_changes(config, found)) or 'this one'} ({number} GPUs{nodes})"
    return None


def gpus(config: RunConfig, samples: bool) -> int:
    """GPUs that a run asks for."""
    ranks, replicas = config.trainer.world_size, config.rollout.replicas if samples else 0
    return ranks + replicas if config.cluster.placement == "split" else max(ranks, replicas)


def _layouts(config: RunConfig, work: Work, number: int) -> Iterator[RunConfig]:
    """The configuration on so many GPUs, in every layout that is tried, the least changed first."""
    share, transfer = config.rollout.gpu_memory_utilization, config.rollout.weight_transfer
    placements = sorted(("colocate", "split"), key=lambda name: name != config.cluster.placement)
    for placement in placements if work.samples else placements[:1]:
        moves = placement != config.cluster.placement and transfer in ("ipc", "nccl")  # each serves one placement
        dealt = [(number, min(config.rollout.replicas, number) if work.samples else config.rollout.replicas)]
        shares: tuple[float, ...] = (share, 0.4, 0.6) if work.samples else (share,)
        if placement == "split" and work.samples:
            dealt = [(number - rollouts, rollouts) for rollouts in (number // 4, number // 2) if rollouts]
            shares = (share, 0.9)
        for ranks, rollouts in dealt:
            for trainer in _trainers(config.trainer, ranks, bool(config.model.lora_rank)):
                for one in shares:
                    changed = {
                        "gpu_memory_utilization": one,
                        "replicas": rollouts,
                        "weight_transfer": "auto" if moves else transfer,
                    }
                    rollout = config.rollout.model_copy(update=changed)
                    cluster = config.cluster.model_copy(update={"placement": placement})
                    yield config.model_copy(update={"trainer": trainer, "rollout": rollout, "cluster": cluster})


def _trainers(trainer: TrainerConfig, ranks: int, adapter: bool) -> Iterator[TrainerConfig]:
    plain = {key: TrainerConfig.model_fields[key].default for key in MEGATRON_KEYS}
    fsdp = [
        plain | {"engine": "fsdp", "gradient_checkpointing": again, "world_size": ranks}
        for again in sorted({trainer.gradient_checkpointing, True})
    ]
    megatron = [
        {
            "engine": "megatron",
            "gradient_checkpointing": False,
            "offload_optimizer": False,
            "world_size": ranks,
            "tensor_parallel": tensor,
            "pipeline_parallel": pipeline,
            "context_parallel": context,
            "sequence_parallel": tensor > 1,
            "recompute": recompute,
        }
        for context in dict.fromkeys((trainer.context_parallel, 1))
        for pipeline in range(1, min(ranks, MOST_STAGES) + 1)
        for tensor in (1, 2, 4, NODE)
        if ranks % (tensor * pipeline * context) == 0
        for recompute in ("none", "full")
    ]
    engines: list[list[dict[str, Any]]] = [fsdp, megatron] if trainer.engine == "fsdp" else [megatron, fsdp]
    for update in engines[0] if adapter else engines[0] + engines[1]:
        yield trainer.model_copy(update=update)


def _changes(old: RunConfig, new: RunConfig) -> list[str]:
    """The overrides that lead from one to the other."""
    engine = [f"trainer={new.trainer.engine}"] if new.trainer.engine != old.trainer.engine else []
    given = [
        (f"{section}.{key}", getattr(getattr(old, section), key), getattr(getattr(new, section), key))
        for section, keys in (
            ("trainer", ("world_size", *MEGATRON_KEYS, "gradient_checkpointing", "offload_optimizer")),
            ("rollout", ("replicas", "gpu_memory_utilization", "weight_transfer")),
            ("cluster", ("placement",)),
        )
        for key in keys
    ]
    return engine + [f"{key}={_text(value)}" for key, before, value in given if before != value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
