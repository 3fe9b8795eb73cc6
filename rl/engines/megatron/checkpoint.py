"""Checkpoints that any layout and either engine can read: whole tensors under the names that FSDP2's engine writes.

Every pipeline stage writes its own tensors, one after the other, in files of at most :data:`FILE_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from safetensors.torch import save_file
from torch import Tensor

from rl.engines.megatron.optimizer import MOMENTS, Optimizer
from rl.engines.megatron.weights import CutWeights, Tensors

FILE_BYTES = 2**30


def save(weights: CutWeights, optimizer: Optimizer, folder: Path) -> None:
    """Write weights and moments. A collective."""
    folder.mkdir(parents=True, exist_ok=True)
    writes = parallel_state.get_tensor_model_parallel_rank() == parallel_state.get_data_parallel_rank() == 0
    stage = parallel_state.get_pipeline_model_parallel_rank()
    waiting: dict[str, Tensor] = {}
    files = 0

    def write() -> None:
        nonlocal files, waiting
        save_file(waiting, folder / f"stage-{stage:03d}-{files:05d}.safetensors")
        files, waiting = files + 1, {}

    for name, tensor in _tensors(weights, optimizer):
        if writes:
            waiting[name] = tensor.cpu().contiguous().clone()
            if sum(t.numel() * t.element_size() for t in waiting.values()) >= FILE_BYTES:
                write()
    if waiting:
        write()
    dist.barrier()


def _tensors(weights: CutWeights, optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    for part in weights.parts:
        if part.copy:
            continue
        for name, tensor in weights.join(part, optimizer.read(part.parameter, "weight")):
            yield f"model.{name}", tensor
        for moment in MOMENTS if optimizer.steps else ():
            for name, tensor in weights.join(part, optimizer.read(part.parameter, moment)):
                yield f"optimizer.{moment}.{name}", tensor
        for name in part.layout.names if optimizer.steps else ():
            yield f"optimizer.step.{name}", torch.tensor(float(optimizer.steps))


@torch.no_grad()
def load(weights: CutWeights, optimizer: Optimizer | None, folder: Path, *, weights_only: bool) -> None:
    """Read what :func:`save` or the other engine wrote; with ``weights_only`` the moments stay as they are."""
    read = Tensors(sorted(folder.glob("*.safetensors")))
    for part in weights.parts:
        weight = weights.cut(part, lambda name: read(f"model.{name}"))
        part.parameter.copy_(weight)
        if optimizer is None:
            continue
        first = f"optimizer.step.{part.layout.names[0]}"
        steps = int(read(first)) if first in read else 0
        moments = None
        if not weights_only and steps:
            optimizer.steps = steps
            moments = {m: weights.cut(part, lambda name, m=m: read(f"optimizer.{m}.{name}")) for m in MOMENTS}  # type: ignore[misc]
        optimizer.write(part.parameter, weight.float(), moments, steps)
    dist.barrier()
