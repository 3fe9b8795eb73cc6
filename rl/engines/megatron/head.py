"""The output layer of a model whose vocabulary is cut over ranks: log-probs and entropies of given targets.

As in :mod:`rl.engines.head`, logits exist for one slice of the targets at a time. Of these every rank has its part of
the vocabulary: forward takes two small all-reduces a slice, backward none.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from megatron.core import tensor_parallel
from torch import Tensor

from rl.engines.head import SLICE_BYTES, _logits, _slices, log_probs_and_entropy
from rl.engines.layout import MicroBatch


class _CutLogProbs(torch.autograd.Function):
    """(hidden [S, d], this rank's rows of the weight [V/tp, d], targets [S]) to log-probs and entropies [S]."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, size: int, group: Any
    ) -> tuple[Tensor, Tensor]:
        local = targets - dist.get_rank(group) * weight.shape[0]
        mine = (local >= 0) & (local < weight.shape[0])
        local = local.clamp(0, weight.shape[0] - 1)
        log_probs = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        entropy, normaliser = torch.empty_like(log_probs), torch.empty_like(log_probs)
        for part in _slices(len(targets), size):
            logits = _logits(hidden[part], weight, temperature)
            largest = logits.amax(-1)
            dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
            logits.sub_(largest[:, None])
            picked = logits.gather(-1, local[part, None])[:, 0] * mine[part]
            mass = logits.exp()
            sums = torch.stack([picked, mass.sum(-1), mass.mul_(logits).sum(-1)])
            dist.all_reduce(sums, group=group)
            log_sum = sums[1].log()
            log_probs[part], entropy[part] = sums[0] - log_sum, log_sum - sums[2] / sums[1]
            normaliser[part] = log_sum + largest
        ctx.save_for_backward(hidden, weight, local, mine, normaliser, entropy)
        ctx.temperature, ctx.size = temperature, size
        return log_probs, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        for_log_probs, for_entropy = gradients
        hidden, weight, local, mine, normaliser, entropy = ctx.saved_tensors
        to_hidden, to_weight = torch.empty_like(hidden), torch.zeros_like(weight, dtype=torch.float32)
        for part in _slices(len(local), ctx.size):
            log_p = _logits(hidden[part], weight, ctx.temperature).sub_(normaliser[part, None])
            slope = for_log_probs[part, None]
            to_logits = -log_p.exp() * (slope + for_entropy[part, None] * (log_p + entropy[part, None]))
            to_logits.scatter_add_(-1, local[part, None], slope * mine[part, None])
            to_logits = (to_logits / ctx.temperature).to(hidden.dtype)
            to_hidden[part] = to_logits @ weight  # this rank's share: the region before the head adds them up
            to_weight += to_logits.T @ hidden[part]
        return to_hidden, to_weight.to(weight.dtype), None, None, None, None


class Head:
    """In place of ``output_layer.forward``: hidden states [T, 1, d] (with sequence parallelism this rank's part of
    them) to [S, 1, 2], log-prob and entropy of each target of :attr:`micro`."""

    micro: MicroBatch
    temperature: float = 1.0

    def __init__(self, layer: torch.nn.Module, sequence_parallel: bool, group: dist.ProcessGroup) -> None:
        """Install it in a layer."""
        self._layer: Any = layer
        self._sequence_parallel, self._group = sequence_parallel, group
        self._layer.forward = self

    def __call__(self, hidden: Tensor, weight: Tensor | None = None, **_: Any) -> tuple[Tensor, None]:
        weight = self._layer.weight if weight is None else weight
        micro, group = self.micro, self._group
        if self._sequence_parallel:
            whole = tensor_parallel.gather_from_sequence_parallel_region(hidden, tensor_parallel_output_grad=True)
            sources = whole[:, 0].index_select(0, micro.sources)
        else:
            # The backward all-reduce is over the sources alone.
            sources = hidden[:, 0].index_select(0, micro.sources)
            sources = tensor_parallel.copy_to_tensor_model_parallel_region(sources)
        of_targets = sources.index_select(0, micro.source_of)
        if dist.get_world_size(group) == 1:
            found = log_probs_and_entropy(of_targets, weight, micro.targets, self.temperature)
        else:
            size = max(1, SLICE_BYTES[weight.device.type] // (4 * weight.shape[0]))
            found = _CutLogProbs.apply(of_targets, weight, micro.targets, self.temperature, size, group)
        return torch.stack(found, dim=-1)[:, None], None
