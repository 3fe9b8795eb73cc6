"""Checkpoints that any layout and either engine can read: whole tensors under the names that FSDP2's engine writes.

Every pipeline stage writes its own tensors, one after the other, in files of at most :data:`FILE_BYTES`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from safetensors.torch import save_file
from torch import Tensor

from rl.engines.megatron.optimizer import Optimizer
from rl.engines.megatron.weights import CutWeights, Tensors
from rl.engines.state import in_files

FILE_BYTES = 2**30


def save(weights: CutWeights, optimizer: Optimizer, folder: Path) -> None:
    """Write weights and moments. A collective."""
    folder.mkdir(parents=True, exist_ok=True)
    writes = parallel_state.get_tensor_model_parallel_rank() == parallel_state.get_data_parallel_rank() == 0
    stage = parallel_state.get_pipeline_model_parallel_rank()
    tensors = _tensors(weights, optimizer)
    if writes:
        for number, held in enumerate(in_files(tensors, FILE_BYTES)):
            save_file(held, folder / f"stage-{stage:03d}-{number:05d}.safetensors")
    else:
        deque(tensors, maxlen=0)
    dist.barrier()


def _tensors(weights: CutWeights, optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    for part in weights.parts:
        if part.copy:
            continue
        for name, tensor in weights.join(part, optimizer.read(part, "weight")):
            yield f"model.{name}", tensor
        moments = optimizer.method.moments(part) if optimizer.steps else ()
        for moment in moments:
            for name, tensor in weights.join(part, optimizer.read(part, moment)):
                yield f"optimizer.{moment}.{name}", tensor
        for name in part.layout.names if "exp_avg" in moments else ():
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
        moments, steps = {}, 0
        for moment in () if weights_only else optimizer.method.moments(part):
            if f"optimizer.{moment}.{part.layout.names[0]}" in read:
                moments[moment] = weights.cut(part, lambda name, of=moment: read(f"optimizer.{of}.{name}"))  # type: ignore[misc]
        if "exp_avg" in moments:
            steps = optimizer.steps = int(read(f"optimizer.step.{part.layout.names[0]}"))
        optimizer.write(part, weight.float(), moments, steps)
    dist.barrier()
