"""How the policy's weights reach the rollout engine, through vLLM's weight-transfer API.

The backend is chosen by :meth:`rl.device.Device.transfer`. ``shm`` is ours: the trainer writes one safetensors file to
the machine's shared memory and vLLM maps it. ``ipc`` and ``nccl`` are vLLM's: CUDA memory handles for an engine on the
same GPU, and a broadcast to engines on GPUs of their own. ``adapter`` hands over a LoRA adapter alone, as files in
shared memory, which vLLM applies beside the base model that it keeps. vLLM is imported only inside the functions that
need it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl.errors import UserError
from rl.files import is_disk_full
from rl.weights import stream
from rl.weights.checks import LayerCount, Probe, WeightLedger
from rl.weights.shared import SHARED_MEMORY, make_file, make_folder, places, remove_adapters, size

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WeightUpdate:
    """One published version of the weights."""

    version: int
    """Grows by one with every publication."""
    info: dict[str, Any]
    """Argument of vLLM's ``update_weights``."""
    sent: WeightLedger | None = None
    """What was published; the engine compares what it got with it. None if an adapter is handed over, and of weights in
    parts until the last has been taken."""
    probe: Probe | None = None
    """Log-probs that the engine must give, too."""


def roomy(shared: Path, need: int) -> Path:
    """The first place of a shared file that has room for ``need`` bytes beside the file that they replace.

    Raises:
        UserError: if there is none.
    """
    rooms = {place: shutil.disk_usage(place.parent).free + size(place) for place in places(shared)}
    for place, room in rooms.items():
        if room >= 2 * need:
            return place
    raise UserError(
        f"weights of {_mib(need)} go to the rollout through a file, of which there are two while it is replaced; "
        + ", ".join(f"{place.parent} has room for {_mib(room)}" for place, room in rooms.items())
        + f". Give the container more shared memory ({_shm_option(need)}), free some, or set TMPDIR to a folder with "
        "more room"
    )


def _shm_option(need: int) -> str:
    return f"docker run --shm-size={2 * need // 2**30 + 1}g"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def write_shared(weights: Iterable[tuple[str, torch.Tensor]], metadata: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write named tensors to ``path``, one at a time, replaced in one move, so that a reader never sees half a file.

    Args:
        weights: what is written.
        metadata: shapes and types of all of it (:attr:`rl.engines.base.Engine.weight_metadata`).
        path: where to.

    Raises:
        UserError: if its folder has no room left.
    """
    partial = path.with_suffix(".partial")
    with _room_in(path.parent, sum(tensor.nbytes for tensor in metadata.values())):
        make_file(partial)
        stream.write(weights, metadata, partial)
        os.replace(partial, path)


@contextmanager
def _room_in(folder: Path, need: int) -> Iterator[None]:
    """Name the folder that was full when a write fails: it is seldom the disk of the run folder."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        usage = shutil.disk_usage(folder)
        raise UserError(
            f"{folder} is full: weights of {_mib(need)} go through it to the rollout, and of its {_mib(usage.total)} "
            f"{_mib(usage.free)} are free. Free some, or enlarge it ({_shm_option(need)} "
            f"for {SHARED_MEMORY}), then run the same command again, which resumes"
        ) from None


KEPT_ADAPTERS = 2
"""Newest versions of an adapter that may still be in use."""


def write_adapter(weights: dict[str, torch.Tensor], folder: Path, rank: int, alpha: int) -> None:
    """Write a LoRA adapter as a folder in peft's format, from which vLLM loads it, and remove older ones."""
    from safetensors.torch import save_file

    tensors = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
    with _room_in(folder.parent, sum(tensor.nbytes for tensor in tensors.values())):
        make_folder(folder)
        save_file(tensors, folder / "adapter_model.safetensors")
    modules = sorted({name.split(".lora_")[0].rsplit(".", 1)[1] for name in weights})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "target_modules": modules}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    remove_adapters(folder.with_suffix(""), keep=KEPT_ADAPTERS)


def on_the_wire(weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights in the precision that CUDA engines take: parameters in bf16, buffers unchanged."""
    import torch

    for name, tensor in weights:
        kept = isinstance(tensor, torch.nn.Buffer)
        yield name, (tensor.detach() if kept else tensor.detach().to(torch.bfloat16)).contiguous()


PART_BYTES = 2 * 2**30
"""Most bytes that are handed over at once through CUDA IPC; only a larger tensor takes more."""


def ipc_info(weights: Iterable[tuple[str, torch.Tensor]]) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """vLLM's ``ipc`` update info for CUDA tensors, and the tensors to keep alive until the engines have taken them.

    A collective: every rank holds these weights on its own GPU and adds its handles, so that an engine on any of these
    GPUs finds one.
    """
    import torch
    import torch.distributed as dist
    from torch.multiprocessing.reductions import reduce_tensor

    kept = list(weights)
    gpu = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    mine = [{gpu: reduce_tensor(tensor)[1]} for _, tensor in kept]
    everyones: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyones, mine)
    handles = [
        dict(pair for ranks in parameter for pair in ranks.items()) for parameter in zip(*everyones, strict=True)
    ]
    info = {
        "names": [name for name, _ in kept],
        "dtype_names": [_dtype(tensor) for _, tensor in kept],
        "shapes": [list(tensor.shape) for _, tensor in kept],
        "ipc_handles": handles,
    }
    return info, [tensor for _, tensor in kept]


def nccl_info(weights: Iterable[tuple[str, torch.Tensor]]) -> dict[str, Any]:
    """vLLM's ``nccl`` update info: what will be broadcast, in which order. A collective, like every pass over the
    weights."""
    found = [(name, _dtype(tensor), list(tensor.shape)) for name, tensor in weights]
    return {
        "names": [name for name, _, _ in found],
        "dtype_names": [dtype for _, dtype, _ in found],
        "shapes": [shape for _, _, shape in found],
    }


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def nccl_join(address: str, port: int, size: int) -> Any:
    """Join the transfer group as its sender (rank 0 of ``size``)."""
    from vllm.distributed.weight_transfer.nccl_common import trainer_init

    return trainer_init({"master_address": address, "master_port": port, "world_size": size})


def nccl_send(weights: Iterable[tuple[str, torch.Tensor]], group: Any) -> None:
    """Broadcast the weights (:func:`on_the_wire`) to the engines of the group."""
    from vllm.distributed.weight_transfer.packed_tensor import packed_nccl_broadcast_producer

    packed_nccl_broadcast_producer(iterator=iter(weights), group=group, src=0, post_iter_func=lambda item: item[1])


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
        """Empty: this backend needs no set-up."""

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

            _forget_packed_experts(self.model)
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


def _forget_packed_experts(model: Any) -> None:
    """On CPU the kernel of fused experts needs packed weights, and vLLM packs them only if there is no kernel yet.
    A reload silently leaves them unpacked, with wrong log-probs, so the kernel is dropped and made again."""
    for layer in model.modules():
        method: Any = getattr(layer, "quant_method", None)
        if getattr(method, "moe_kernel", None) is not None and layer.w13_weight.device.type == "cpu":
            method.moe_kernel = None


def _repack_tied_head(model: Any) -> None:
    """On CPU the output head multiplies with a packed copy of the embedding. With tied embeddings the reload leaves
    that copy silently at the old weights (log-probs off by more than 1), so it is packed again."""
    import torch

    head = getattr(model, "lm_head", None)
    if head is None or not model.config.tie_word_embeddings or head.weight.device != torch.device("cpu"):
        return
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    dispatch_cpu_unquantized_gemm(head, remove_weight=False)


ROUTER_BIAS = "e_score_correction_bias"
"""A weight of routers that vLLM holds as a buffer if it runs the model's code of transformers."""


def count_layers(model: Any) -> dict[str, LayerCount]:
    """The count of each layer, from the records that vLLM keeps between start and finish of an update."""
    from vllm.model_executor.layers.attention import is_deferred_attention_layer
    from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info
    from vllm.model_executor.model_loader.reload.meta import SKIP_LOAD_TENSORS, SKIP_TENSORS

    tied = _tied_copies(model)
    found: dict[str, LayerCount] = {}
    for name, layer in model.named_modules():
        info = get_layerwise_info(layer)
        kept, buffers = info.restore_metadata
        live = {n: p for n, p in layer._parameters.items() if p is not None and n in SKIP_TENSORS}
        live |= {n: b for n, b in layer._buffers.items() if b is not None and n == ROUTER_BIAS}
        own = sum(p.numel() for p in kept.values()) + sum(p.numel() for p in live.values())
        uncounted = sum(p.numel() for n, p in live.items() if n in SKIP_LOAD_TENSORS)
        if own == 0 or name in tied or is_deferred_attention_layer(layer):
            continue
        if not info.can_load():  # complete, and already processed
            found[name] = LayerCount(own + sum(b.numel() for n, b in buffers.items() if n not in SKIP_LOAD_TENSORS), 0)
        else:
            found[name] = LayerCount(info.load_numel + uncounted, own - _padding(layer, kept))
    return found


def _tied_copies(model: Any) -> set[str]:
    """Layers that share the embedding's weight and get none of their own."""
    tied = getattr(model.config, "tie_word_embeddings", False)
    return {name for name, _ in model.named_modules() if tied and name.split(".")[-1] == "lm_head"}


def _padding(layer: Any, parameters: dict[str, Any]) -> int:
    """Number of elements that pad a vocabulary to a round size."""
    padded, rows = getattr(layer, "num_embeddings_padded", 0), getattr(layer, "org_vocab_size", 0)
    return sum((padded - rows) * math.prod(p.shape[1:]) for p in parameters.values() if p.shape[0] == padded)
