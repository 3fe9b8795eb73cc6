"""Muon (:mod:`rl.engines.muon`) for weights that are cut over ranks.

Queries, keys, values, gate and up are matrices of their own in the other engine, and so here: each is made whole, made
orthogonal, and cut again. The matrices of experts, which the other engine holds as one tensor a layer, use AdamW in
both. The optimizer's state is the same on all data-parallel ranks.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from megatron.core.distributed import DistributedDataParallel
from megatron.core.tensor_parallel.layers import param_is_not_tensor_parallel_duplicate
from megatron.core.transformer.module import param_is_not_shared
from torch import Tensor

from rl.config.stages import OptimConfig
from rl.engines import muon
from rl.engines.megatron import experts
from rl.engines.megatron.weights import CutWeights, Part, Shard


class _CutMuon(muon.Muon):
    """Muon over parts of matrices."""

    def __init__(self, weights: CutWeights, mains: dict[Part, Tensor], optim: OptimConfig) -> None:
        self._weights = weights
        self._part_of = {id(main): part for part, main in mains.items()}
        named = ((part.layout.names[0], main) for part, main in mains.items())
        super().__init__(named, optim.lr, optim.lr * optim.matrix_lr_ratio, optim.betas, optim.weight_decay)

    def _is_matrix(self, name: str, parameter: Tensor) -> bool:
        return super()._is_matrix(name, parameter) and not self._part_of[id(parameter)].peers

    def _orthogonal(self, parameter: Tensor, direction: Tensor) -> Tensor:
        part = self._part_of[id(parameter)]
        whole = {name: muon.update_of(matrix) for name, matrix in self._weights.join(part, direction)}
        return self._weights.cut(part, whole.__getitem__)


class Muon:
    """Muon for the matrices inside the layers, AdamW for all other weights."""

    def __init__(self, buffers: DistributedDataParallel, weights: CutWeights, optim: OptimConfig) -> None:
        """Without state. In bf16 the weights in fp32 start from those in bf16."""
        self._buffers = buffers
        self._mains = {part: _in_fp32(part.parameter) for part in weights.parts}
        self._muon = _CutMuon(weights, self._mains, optim)
        self._muon.materialise()
        self.param_groups = self._muon.param_groups

    def zero(self) -> None:
        self._muon.zero_grad()

    def norm(self) -> float:
        if self._buffers.ddp_config.use_distributed_optimizer:
            self._gather_gradients()
        dense, of_experts = [], []
        for part, main in self._mains.items():
            main.grad = part.parameter.main_grad
            if part.peers:
                of_experts.append(main.grad)
            elif param_is_not_shared(part.parameter) and param_is_not_tensor_parallel_duplicate(part.parameter):
                dense.append(main.grad)
        return experts.norm(dense, of_experts, bool(self._buffers.config.num_moe_experts))

    def _gather_gradients(self) -> None:
        """Every data-parallel rank has summed its part of the gradients: give all of them the whole."""
        for buffer in self._buffers.buffers + self._buffers.expert_parallel_buffers:
            group = buffer.data_parallel_group
            for bucket in buffer.buckets if group.size() > 1 else ():
                mine = bucket.grad_data.chunk(group.size())[group.rank()]
                dist.all_gather_into_tensor(bucket.grad_data, mine, group=group)

    def parameters(self) -> list[Tensor]:
        return list(self._mains.values())

    @torch.no_grad()
    def step(self) -> None:
        self._muon.step()
        for part, main in self._mains.items():
            if main is not part.parameter:
                part.parameter.copy_(main)

    def moments(self, part: Part) -> tuple[str, ...]:
        return tuple(key for key in self._muon.state[self._mains[part]] if key != "step")

    def shard(self, part: Part) -> Shard | None:
        main = self._mains[part]
        return Shard(main, self._muon.state[main], 0, main.numel())


def _in_fp32(parameter: torch.nn.Parameter) -> Tensor:
    return parameter if parameter.dtype == torch.float32 else parameter.detach().float().requires_grad_()
