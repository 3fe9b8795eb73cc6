"""Checkpoints that any layout and either engine can read: whole tensors under the names that FSDP2's engine writes.

Every pipeline stage writes its own tensors, one after the other, in files of at most :data:`FILE_BYTES`. Of experts,
which transformers holds as one tensor a layer, every expert-parallel rank writes its part.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from safetensors.torch import save_file
from torch import Tensor

from rl.engines.megatron.optimizer import Optimizer
from rl.engines.megatron.weights import CutWeights, Part, Tensors
from rl.engines.state import has_moments, in_files, require_moments, require_same_weights
from rl.models.checkpoint_format import Shapes

FILE_BYTES = 2**30


def save(weights: CutWeights, optimizer: Optimizer, folder: Path) -> None:
    """Write weights and moments. A collective."""
    folder.mkdir(parents=True, exist_ok=True)
    stage, rank = parallel_state.get_pipeline_model_parallel_rank(), parallel_state.get_expert_model_parallel_rank()
    copy = parallel_state.get_data_parallel_rank(with_context_parallel=True)
    first = parallel_state.get_tensor_model_parallel_rank() == copy == 0
    _write(_tensors(weights, optimizer), folder / f"stage-{stage:03d}" if first else None)
    first = parallel_state.get_expert_data_parallel_rank() == 0
    _write(_experts(weights, optimizer), folder / f"experts-{stage:03d}-{rank:03d}" if first else None)
    dist.barrier()


def _write(tensors: Iterator[tuple[str, Tensor, list[int]]], path: Path | None) -> None:
    """Write (name, tensor, its place in the whole one) to files whose names begin with a path; None writes nothing."""
    if path is None:
        deque(tensors, maxlen=0)
        return
    places: dict[str, list[int]] = {}

    def noted() -> Iterator[tuple[str, Tensor]]:
        for name, tensor, place in tensors:
            places[name] = place
            yield name, tensor

    for number, held in enumerate(in_files(noted(), FILE_BYTES)):
        sharding = {name: {"saved_offsets": places[name]} for name in held}
        metadata = {"DCP_SHARDING_INFO": json.dumps(sharding)}  # read by torch's distributed checkpoint
        save_file(held, path.with_name(f"{path.name}-{number:05d}.safetensors"), metadata)


def _tensors(weights: CutWeights, optimizer: Optimizer) -> Iterator[tuple[str, Tensor, list[int]]]:
    for part in weights.parts:
        if part.copy or part.peers:
            continue
        for name, tensor in weights.join(part, optimizer.read(part, "weight")):
            yield f"model.{name}", tensor, [0] * tensor.ndim
        moments = optimizer.method.moments(part) if optimizer.steps else ()
        for moment in moments:
            for name, tensor in weights.join(part, optimizer.read(part, moment)):
                yield f"optimizer.{moment}.{name}", tensor, [0] * tensor.ndim
        for name in part.layout.names if "exp_avg" in moments else ():
            yield f"optimizer.step.{name}", torch.tensor(float(optimizer.steps)), []


def _experts(weights: CutWeights, optimizer: Optimizer) -> Iterator[tuple[str, Tensor, list[int]]]:
    together: dict[str, list[Part]] = defaultdict(list)
    for part in weights.parts:
        if part.peers:
            together[part.layout.fused].append(part)
    for name, parts in together.items():
        place = [parts[0].layout.expert or 0, 0, 0]
        moments = optimizer.method.moments(parts[0]) if optimizer.steps else ()
        for key in ("weight", *moments):
            stack = torch.stack([optimizer.read(part, key) for part in parts])
            yield f"model.{name}" if key == "weight" else f"optimizer.{key}.{name}", stack, place
        if moments and place[0] == 0:
            yield f"optimizer.step.{name}", torch.tensor(float(optimizer.steps)), []


@torch.no_grad()
def load(weights: CutWeights, optimizer: Optimizer | None, folder: Path, shapes: Shapes, *, weights_only: bool) -> None:
    """Read what :func:`save` or the other engine wrote; with ``weights_only`` the moments stay as they are.

    Args:
        weights: of this rank.
        optimizer: if there is one, it goes on from these weights.
        folder: of the engine's part.
        shapes: names and whole shapes of all weights, transformers' in memory.
        weights_only: whether moments are left alone.

    Raises:
        UserError: if it is of another model or another optimizer.
    """
    held = require_same_weights(folder, shapes)
    read = Tensors(sorted(folder.glob("*.safetensors")))
    with_moments = not weights_only and has_moments(held)

    def own(part: Part, kind: str) -> Tensor:
        if part.layout.expert is not None:
            return read.row(f"{kind}.{part.layout.fused}", part.layout.expert)
        return weights.cut(part, lambda name: read(f"{kind}.{name}"))

    for part in weights.parts:
        weight = own(part, "model")
        part.parameter.copy_(weight)
        if optimizer is None:
            continue
        moments, steps, name = {}, 0, part.layout.fused or part.layout.names[0]
        for moment in optimizer.method.moments(part) if with_moments else ():
            require_moments(folder, held, [f"optimizer.{moment}.{name}"])
            moments[moment] = own(part, f"optimizer.{moment}")
        if "exp_avg" in moments:
            steps = optimizer.steps = int(read(f"optimizer.step.{name}"))
        optimizer.write(part, weight.float(), moments, steps)
    dist.barrier()
