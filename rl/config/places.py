"""What a run reserves of its cluster, by its configuration."""

from __future__ import annotations

from rl.config.derive import wants_judge
from rl.config.schema import RunConfig


def places(config: RunConfig, gpu: bool, sampling: bool = True) -> int:
    """Bundles of the run's placement group: CPUs, or with ``gpu`` one GPU each.

    Args:
        config: of the run.
        gpu: whether it runs on GPUs. There colocated engines need one each; on CPUs they share the trainer's places.
        sampling: whether it has rollout engines.
    """
    ranks, replicas = config.trainer.world_size, config.rollout.replicas * sampling
    if config.cluster.placement == "split":
        return ranks + replicas
    return max(ranks, replicas) if gpu else ranks


def serves_judge(config: RunConfig) -> bool:
    """Whether the run serves a language model as judge itself: on GPUs on one outside its placement group."""
    return config.judge.kind == "llm" and config.judge.base_url is None and wants_judge(config)
