"""The vLLM engine, as every actor of ours builds it: its environment, its options, its construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl.actors import log_softmax
from rl.config.schema import ModelConfig, RolloutConfig
from rl.device import Device, named


@dataclass(frozen=True)
class EngineSpec:
    """What one engine in an actor's process is built from."""

    model: ModelConfig
    rollout: RolloutConfig
    path: str
    device: str
    seed: int


def environment(spec: EngineSpec) -> dict[str, str]:
    """Environment of the actor's process. It must be set before torch and vLLM are imported."""
    rollout = spec.rollout
    in_process = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    return in_process | named(spec.device).vllm_environment(rollout.kv_cache_gb, rollout.enforce_eager, rollout.threads)


def build(spec: EngineSpec, **own: Any) -> Any:
    """A ``vllm.LLM`` in this process; ``own`` are options of this caller, which go first."""
    from vllm import LLM

    if named(spec.device).exact:
        log_softmax.install()
    return LLM(**options(spec) | own)


def options(spec: EngineSpec) -> dict[str, Any]:
    """vLLM's options of an engine in an actor's process."""
    device, rollout = named(spec.device), spec.rollout
    length, memory = spec.model.max_length, rollout.gpu_memory_utilization
    return {
        **shared_options(spec.path, device, length, memory, rollout.enforce_eager),
        "dtype": device.dtype,
        "seed": spec.seed,
        "max_num_seqs": rollout.max_num_seqs,
        "trust_remote_code": spec.model.trust_remote_code,
    }


def shared_options(
    path: str, device: Device, max_length: int, gpu_memory_utilization: float, eager: bool
) -> dict[str, Any]:
    """vLLM's options of every engine, whether it runs in an actor's process or as a server."""
    memory = device.vllm_memory(gpu_memory_utilization)
    return {"model": path, "max_model_len": max_length, "enforce_eager": eager, **memory}


def flags(given: Mapping[str, Any]) -> list[str]:
    """Options as arguments of vLLM's server: ``{"max_model_len": 64, "enforce_eager": True, "a": False}`` is
    ``--max-model-len 64 --enforce-eager --no-a``."""
    found: list[str] = []
    for name, value in given.items():
        option = name.replace("_", "-")
        found += [f"--no-{option}"] if value is False else [f"--{option}", *([] if value is True else [str(value)])]
    return found
