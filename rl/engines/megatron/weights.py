"""The weights of a model that is cut over ranks: from files to each rank's part, and whole again, tensor by tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from rl.engines.megatron.model import RowModel
from rl.engines.megatron.names import Heads, Layout, layout_of
from rl.errors import UserError
from rl.models.stored import opened, places, weight_files


class Tensors:
    """Tensors by name from safetensors files. A tensor may be in parts, as in torch's distributed checkpoints."""

    def __init__(self, files: list[Path]) -> None:
        """From files, of which only the headers are read.

        Raises:
            UserError: if one is damaged.
        """
        self._files = {file: opened(file) for file in files}
        self._parts: dict[str, list[tuple[Path, list[int]]]] = defaultdict(list)
        for path, file in self._files.items():
            for name, offsets in places(file).items():
                self._parts[name].append((path, offsets))

    def __call__(self, name: str) -> Tensor:
        """The whole tensor.

        Raises:
            UserError: if there is none of this name.
        """
        if name not in self._parts:
            folder = next(iter(self._files), Path()).parent
            raise UserError(f"{folder} has no tensor {name}; use the weights of this model, complete, in safetensors")
        parts = [(self._files[path].get_tensor(name), offsets) for path, offsets in self._parts[name]]
        if len(parts) == 1:
            return parts[0][0]
        ends = [[o + n for o, n in zip(offsets, part.shape, strict=True)] for part, offsets in parts]
        whole = parts[0][0].new_empty([max(end) for end in zip(*ends, strict=True)])
        for part, offsets in parts:
            whole[tuple(slice(o, o + n) for o, n in zip(offsets, part.shape, strict=True))] = part
        return whole

    def row(self, name: str, index: int) -> Tensor:
        """One row of a tensor, whose parts are cut between rows; only this row is read.

        Raises:
            UserError: if there is none.
        """
        for path, offsets in self._parts.get(name, ()):
            part, first = self._files[path].get_slice(name), offsets[0] if offsets else 0
            if first <= index < first + part.get_shape()[0]:
                found: Tensor = part[index - first : index - first + 1][0]
                return found
        folder = next(iter(self._files), Path()).parent
        raise UserError(f"{folder} has no row {index} of {name}; use the weights of this model, complete")


def of_model(path: str) -> Tensors:
    """The weights of a Hugging Face folder or hub name.

    Raises:
        UserError: if it has none in safetensors, or they are damaged.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(path, allow_patterns=["*.safetensors", "*.json"]))
    return Tensors(weight_files(folder))


@dataclass(frozen=True, eq=False)
class Part:
    """One parameter of this rank."""

    parameter: torch.nn.Parameter
    layout: Layout
    copy: bool
    """Whether it is the last stage's copy of the embedding, which the first stage has too."""
    peers: tuple[Layout, ...] = ()
    """Of an expert: the layouts of the experts in its place on all expert-parallel ranks."""


@dataclass(frozen=True)
class Shard:
    """What this rank updates of one parameter."""

    main: Tensor
    """Weights in fp32, flat if they are a part: the parameter itself, or a copy of one in bf16."""
    state: dict[str, Tensor]
    """torch's state of them: the moments, and with AdamW the number of steps."""
    start: int
    end: int
    """Place in the flat parameter."""


class CutWeights:
    """The weights of this rank, and the whole ones from all ranks."""

    def __init__(self, model: RowModel, hf: Any, shapes: dict[str, tuple[int, ...]]) -> None:
        """``shapes`` of the whole weights, by transformers' names. A collective."""
        self._shapes = shapes
        self._tensor_group = parallel_state.get_tensor_model_parallel_group()
        self._stage_group = parallel_state.get_pipeline_model_parallel_group()
        self._expert_group = parallel_state.get_expert_model_parallel_group()
        config, tied = model.config, hf.tie_word_embeddings
        heads = Heads(config.num_attention_heads, config.num_query_groups, config.kv_channels)
        ranks = self._expert_group.size()
        firsts = [rank * (config.num_moe_experts or 0) // ranks for rank in range(ranks)]
        self.parts = []
        for name, parameter in model.module.named_parameters():
            everyones = [layout_of(name, heads, tied, model.first_layer, first) for first in firsts]
            mine = everyones[self._expert_group.rank()]
            peers = () if mine.expert is None else tuple(everyones)
            self.parts.append(Part(parameter, mine, tied and name == "output_layer.weight", peers))
        names = [
            name
            for part in self.parts
            if not part.copy
            for layout in part.peers or (part.layout,)
            for name in layout.names
        ]
        self._names: list[list[str]] = [names] * self._stage_group.size()
        if self._stage_group.size() > 1:
            dist.all_gather_object(self._names, names, group=self._stage_group)

    def cut(self, part: Part, read: Callable[[str], Tensor]) -> Tensor:
        """This rank's part of the weights that ``read`` gives by transformers' name."""
        group = self._tensor_group
        rank, size = (group.rank(), group.size()) if part.layout.expert is None else (0, 1)  # an expert is whole
        found = part.layout.cut([read(name) for name in part.layout.names], rank, size)
        assert found.shape == part.parameter.shape, (part.layout.names, found.shape, part.parameter.shape)
        return found

    def join(self, part: Part, local: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(transformers' name, whole tensor) from the parts of the tensor-parallel ranks; of an expert, its tensors and
        those of its peers. A collective of these ranks."""
        if part.peers:
            for rank, layout in enumerate(part.peers):
                yield from zip(layout.names, layout.join([self._of_peer(local, rank)]), strict=True)
            return
        parts, size = [local], self._tensor_group.size()
        if size > 1 and part.layout.kind != "whole":
            parts = [torch.empty_like(local) for _ in range(size)]
            dist.all_gather(parts, local.contiguous(), group=self._tensor_group)
        yield from zip(part.layout.names, part.layout.join(parts), strict=True)

    def whole(self) -> Iterator[tuple[str, Tensor]]:
        """(transformers' name, whole tensor) of every weight, on every rank, one after the other. A collective."""
        for stage, names in enumerate(self._names):
            if stage == self._stage_group.rank():
                for name, tensor in self._own():
                    yield name, self._broadcast(tensor.contiguous(), stage)
            else:
                like = self.parts[0].parameter
                for name in names:
                    empty = torch.empty(self._shapes[name], dtype=like.dtype, device=like.device)
                    yield name, self._broadcast(empty, stage)

    def _of_peer(self, local: Tensor, rank: int) -> Tensor:
        group = self._expert_group
        if group.size() == 1:
            return local
        tensor = local.contiguous() if rank == group.rank() else torch.empty_like(local)
        dist.broadcast(tensor, dist.get_global_rank(group, rank), group=group)
        return tensor

    def _own(self) -> Iterator[tuple[str, Tensor]]:
        for part in self.parts:
            if not part.copy:
                yield from self.join(part, part.parameter.detach())

    def _broadcast(self, tensor: Tensor, stage: int) -> Tensor:
        if self._stage_group.size() > 1:
            dist.broadcast(tensor, dist.get_global_rank(self._stage_group, stage), group=self._stage_group)
        return tensor
