"""How the policy's weights reach the rollout engine, through vLLM's weight-transfer API.

Backends are chosen by :func:`backend_for`. ``shm`` is ours: the trainer writes one safetensors file to the shared
memory of the machine and vLLM maps it. ``ipc`` and ``nccl`` are vLLM's: CUDA memory handles for an engine on the same
GPU, and a broadcast to engines on GPUs of their own. ``adapter`` hands over a LoRA adapter alone, as files in shared
memory, which vLLM applies beside the base model that it keeps. vLLM is imported only inside the functions that need it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WeightUpdate:
    """One published version of the weights."""

    version: int
    """Grows by one with every publication."""
    info: dict[str, Any]
    """What vLLM's ``update_weights`` is given."""


def backend_for(choice: str, device: str, split: bool) -> str:
    """The transfer backend: the configured one, or when it is ``auto`` by device and by who shares a GPU."""
    if choice != "auto":
        return choice
    if device == "cpu":
        return "shm"
    return "nccl" if split else "ipc"


def shared_file(run_id: str) -> Path:
    """Where a run's weights lie between trainer and rollout: in shared memory where the machine has it."""
    base = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())
    return base / f"themis-{run_id}.safetensors"


def write_shared(weights: Iterable[tuple[str, torch.Tensor]], path: Path) -> None:
    """Write named tensors to ``path``, replaced in one move, so that a reader never sees half a file."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    os.replace(partial, path)


def write_adapter(weights: dict[str, torch.Tensor], folder: Path, rank: int, alpha: int) -> None:
    """Write a LoRA adapter as a folder in peft's format, from which vLLM loads it; the one before it is removed."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.cpu().contiguous() for name, tensor in weights.items()}, folder / "adapter_model.safetensors"
    )
    modules = sorted({name.split(".lora_")[0].rsplit(".", 1)[1] for name in weights})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "target_modules": modules}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    remove_adapters(folder.with_suffix(""), but=folder)


def remove_adapters(shared: Path, but: Path | None = None) -> None:
    """Remove the adapter folders beside a run's shared file, but for the two newest versions that may be in use."""
    found = sorted(shared.parent.glob(f"{shared.stem}.adapter-*"), key=lambda path: int(path.suffix.split("-")[1]))
    for folder in found[: -2 if but else None]:
        shutil.rmtree(folder, ignore_errors=True)


def ipc_info(weights: Iterable[tuple[str, torch.Tensor]]) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """vLLM's ``ipc`` update info for CUDA tensors, and the tensors to keep alive until the update has finished.

    A collective: every rank holds the whole weights in bf16 on its own GPU and adds its handles, so that an engine on
    any of these GPUs finds one.
    """
    import torch
    import torch.distributed as dist
    from torch.multiprocessing.reductions import reduce_tensor

    kept = [(name, tensor.detach().to(torch.bfloat16).contiguous()) for name, tensor in weights]
    gpu = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    mine = [{gpu: reduce_tensor(tensor)[1]} for _, tensor in kept]
    everyones: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyones, mine)
    handles = [
        dict(pair for ranks in parameter for pair in ranks.items()) for parameter in zip(*everyones, strict=True)
    ]
    info = {
        "names": [name for name, _ in kept],
        "dtype_names": ["bfloat16"] * len(kept),
        "shapes": [list(tensor.shape) for _, tensor in kept],
        "ipc_handles": handles,
    }
    return info, [tensor for _, tensor in kept]


def nccl_info(weights: Iterable[tuple[str, torch.Tensor]]) -> dict[str, Any]:
    """vLLM's ``nccl`` update info: what will be broadcast, in which order. A collective, like every walk of weights."""
    shapes = [(name, list(tensor.shape)) for name, tensor in weights]
    return {
        "names": [name for name, _ in shapes],
        "dtype_names": ["bfloat16"] * len(shapes),
        "shapes": [shape for _, shape in shapes],
    }


def nccl_join(address: str, port: int, size: int) -> Any:
    """Join the transfer group as its sender (rank 0 of ``size``)."""
    from vllm.distributed.weight_transfer.nccl_common import trainer_init

    return trainer_init({"master_address": address, "master_port": port, "world_size": size})


def nccl_send(weights: Iterable[tuple[str, torch.Tensor]], group: Any) -> None:
    """Broadcast the weights, in bf16, to the engines of the group."""
    import torch
    from vllm.distributed.weight_transfer.packed_tensor import packed_nccl_broadcast_producer

    halves = ((name, tensor.to(torch.bfloat16).contiguous()) for name, tensor in weights)
    packed_nccl_broadcast_producer(iterator=halves, group=group, src=0, post_iter_func=lambda item: item[1])


@cache
def register() -> None:
    """Make the ``shm`` backend known to vLLM. vLLM calls this in each of its processes (``vllm.general_plugins``)."""
    from vllm.distributed.weight_transfer.base import (
        WeightTransferEngine,
        WeightTransferInitInfo,
        WeightTransferUpdateInfo,
    )
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    @dataclass
    class InitInfo(WeightTransferInitInfo):
        """Nothing to agree on."""

    @dataclass
    class UpdateInfo(WeightTransferUpdateInfo):
        path: str = ""

    class SharedMemoryEngine(WeightTransferEngine[InitInfo, UpdateInfo]):
        """Loads a safetensors file from shared memory into a running model."""

        init_info_cls = InitInfo
        update_info_cls = UpdateInfo

        def init_transfer_engine(self, init_info: InitInfo) -> None: ...

        def start_weight_update(self) -> None:
            from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

            initialize_layerwise_reload(self.model)

        def receive_weights(self, update_info: UpdateInfo) -> None:
            from safetensors.torch import load_file

            self.model.load_weights(load_file(update_info.path).items())

        def finish_weight_update(self) -> None:
            from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

            finalize_layerwise_reload(self.model, self.model_config)
            _repack_tied_head(self.model)

        def shutdown(self) -> None: ...

    WeightTransferEngineFactory.register_engine("shm", SharedMemoryEngine)


def _repack_tied_head(model: Any) -> None:
    """On CPU the output head multiplies with a packed copy of the embedding. With tied embeddings the reload leaves
    that copy at the old weights (log-probs off by more than 1, in silence), so it is packed again."""
    import torch

    head = getattr(model, "lm_head", None)
    if head is None or not model.config.tie_word_embeddings or head.weight.device != torch.device("cpu"):
        return
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    dispatch_cpu_unquantized_gemm(head, remove_weight=False)
