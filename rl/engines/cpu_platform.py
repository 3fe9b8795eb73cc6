"""A CPU platform for verl, registered through verl's own plug-in point.

verl asks a *platform* object for its device, its collective backend and its memory figures. This one answers for a
machine without an accelerator, so that verl's FSDP2 engine runs on gloo with the same code as on CUDA.
"""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry


def _device_module() -> types.ModuleType:
    """torch.cpu, completed with the calls that verl makes on a device module."""
    module = types.ModuleType("themis_cpu_device")
    module.__dict__.update({name: getattr(torch.cpu, name) for name in dir(torch.cpu) if not name.startswith("__")})
    answers: dict[str, Any] = {
        "is_available": lambda: False,  # keeps verl's memory and stream helpers idle
        "get_device_name": lambda *_: "CPU",
        "mem_get_info": lambda *_: (0, 0),
        "get_rng_state": torch.get_rng_state,
        "set_rng_state": torch.set_rng_state,
        "manual_seed": torch.manual_seed,
    }
    for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"):
        answers[name] = lambda *_, **__: 0
    for name in ("empty_cache", "reset_peak_memory_stats", "ipc_collect", "set_device", "synchronize"):
        answers[name] = lambda *_, **__: None
    module.__dict__.update(answers)
    return module


@PlatformRegistry.register(platform="cpu")
class CPUPlatform(PlatformBase):
    """Answers verl's questions about the device with the CPU."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _device_module()

    def is_available(self) -> bool:
        return True

    def current_device(self) -> torch.device:
        # verl hands this to Tensor.to() and FSDP; an integer there would mean a CUDA device.
        return torch.device("cpu")

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None: ...

    def synchronize(self, device_index: int | None = None) -> None: ...

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None: ...

    def empty_cache(self) -> None: ...

    def get_device_capability(self, device_id: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "THEMIS_VISIBLE_CPUS"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None: ...

    def profiler_stop(self) -> None: ...

    def ray_resource_name(self) -> str:
        return "CPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def ray_resource_options(self, num: float) -> dict[str, float]:
        return {"num_cpus": num}

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> None:
        return None
