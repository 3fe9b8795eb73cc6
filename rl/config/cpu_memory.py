"""What a run on CPUs holds in memory, as an estimate for its plan."""

from __future__ import annotations

from collections.abc import Sequence

from rl.config.schema import RunConfig

Held = tuple[tuple[str, float | None], ...]
"""(what, GiB), all ranks and replicas together; None where the size of the model is not known."""


def cpu_memory(config: RunConfig, parameters: int | None, actors: Sequence[str]) -> Held:
    """What a run holds, given the weights of its model and the names of its actors."""
    gib = None if parameters is None else parameters * 4 / 2**30

    def copies(number: int) -> float | None:
        return None if gib is None else number * gib

    trained = ("trainer's weights (fp32); the adapter's part is small", copies(1))
    if config.model.lora_rank == 0:
        trained = ("weights, gradients and Adam moments (fp32), all ranks", copies(4))
    held = [trained, ("rollout weights", copies(config.rollout.replicas))]
    held += [("rollout key-value cache", float(config.rollout.kv_cache_gb * config.rollout.replicas))]
    if any(role.startswith("reference") for role in actors):
        held.append(("reference weights", copies(1)))
    return (*held, ("processes (Python, torch, vLLM)", 0.7 * len(actors) + 1.0))
