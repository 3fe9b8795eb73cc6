"""Everything that depends on the device: precision, process groups, environments, engine options, Ray resources.

There are two devices, :data:`CPU` and :data:`CUDA`. The rest of the code reads their fields and calls their methods, so
that it has one path for both. Neither torch nor Ray nor vLLM is imported at the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rl.errors import UserError

PASSIVE_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Trainer and engines take turns on the same cores; a thread pool that spins would starve the others."""


@dataclass(frozen=True)
class Device:
    """One kind of device."""

    name: str
    """Name in torch."""
    dtype: str
    """Precision of forward and backward, by its name in torch; the trainer's weights are fp32 on every device."""
    process_group: str
    """Backends of ``torch.distributed``; tensors on the CPU go over gloo on every device."""
    gpus: int
    """GPUs of one place in the cluster: 0 or 1."""
    compiles: bool
    """Whether inference engines compile the model; on a CPU they never do."""

    @property
    def exact(self) -> bool:
        """Whether trainer and vLLM compute in fp32, so that their log-probs agree up to rounding."""
        return self.dtype == "float32"

    @property
    def sleeps(self) -> bool:
        """Whether vLLM can free its memory for a trainer and take it back (sleep mode)."""
        return self.gpus > 0

    def takes_turns(self, split: bool) -> bool:
        """Whether trainer and rollout share a GPU, so that vLLM sleeps while the trainer works."""
        return self.sleeps and not split

    def transfer(self, choice: str, split: bool) -> str:
        """Backend of the weight transfer: the configured one; for ``auto`` the one that fits the placement."""
        if choice != "auto":
            return choice
        if self.gpus == 0:
            return "shm"
        return "nccl" if split else "ipc"

    def bundle(self, gpus: int = 1) -> dict[str, float]:
        """A bundle of a placement group: one CPU, and on CUDA ``gpus`` GPUs."""
        return {"CPU": 1.0} | ({"GPU": float(gpus)} if self.gpus else {})

    def request(self, cpus: float, gpus: float) -> dict[str, float]:
        """Ray options of an actor: ``cpus`` CPUs, and on CUDA ``gpus`` GPUs."""
        return {"num_cpus": cpus, "num_gpus": gpus * self.gpus}

    def trainer_environment(self, threads: int, cpu_platform: str) -> dict[str, str]:
        """Environment of a trainer's process. It must be set before torch and verl are imported.

        Args:
            threads: threads on the CPU.
            cpu_platform: the module that registers verl's CPU platform.
        """
        env = {"TOKENIZERS_PARALLELISM": "false", "HYDRA_FULL_ERROR": "1"}
        if self.gpus:
            return env
        platform = {"VERL_PLATFORM": "cpu", "VERL_USE_EXTERNAL_MODULES": cpu_platform}
        return env | platform | {"OMP_NUM_THREADS": str(threads)} | PASSIVE_THREADS

    def vllm_environment(self, kv_cache_gb: int, eager: bool, threads: int | None = None) -> dict[str, str]:
        """Environment of a process that runs vLLM. It must be set before torch and vLLM are imported.

        Args:
            kv_cache_gb: key-value cache on the CPU (GiB).
            eager: whether the engine runs without compilation.
            threads: threads on the CPU; None leaves cores and threads to vLLM.
        """
        env = {"VLLM_NO_USAGE_STATS": "1"}
        if self.gpus:
            return env
        env |= {"VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gb)} | PASSIVE_THREADS
        if threads is not None:
            env |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(threads)}
        if eager:
            env["TORCHDYNAMO_DISABLE"] = "1"  # else vLLM's sampler compiles C++ for 15 s at the first token
        return env

    def vllm_memory(self, share: float) -> dict[str, Any]:
        """vLLM option for its share of a GPU's memory; on the CPU the environment sets the size of the cache."""
        return {"gpu_memory_utilization": share} if self.gpus else {}

    def vllm_seeded_requests(self, max_length: int) -> dict[str, Any]:
        """vLLM options of an engine whose requests bring their own seeds.

        On the CPU the generator of a request can't be wound back when its prompt is prefilled in chunks.
        """
        if self.gpus:
            return {}
        return {"enable_chunked_prefill": False, "max_num_batched_tokens": max(max_length, 2048)}


CPU = Device("cpu", dtype="float32", process_group="cpu:gloo", gpus=0, compiles=False)
CUDA = Device("cuda", dtype="bfloat16", process_group="cpu:gloo,cuda:nccl", gpus=1, compiles=True)
DEVICES = {device.name: device for device in (CPU, CUDA)}


def named(name: str) -> Device:
    """The device of this name.

    Raises:
        UserError: if there is none.
    """
    if name not in DEVICES:
        raise UserError(f"there is no device {name!r}; use {' or '.join(DEVICES)}")
    return DEVICES[name]


def chosen(choice: str, gpus: float) -> Device:
    """The device of this name; ``auto`` is CUDA if there is at least one GPU, else CPU.

    Raises:
        UserError: if there is no such device.
    """
    if choice == "auto":
        return CUDA if gpus >= 1 else CPU
    return named(choice)


def here() -> Device:
    """The device of this process: CUDA where torch sees a GPU."""
    import torch

    return chosen("auto", torch.cuda.device_count())
