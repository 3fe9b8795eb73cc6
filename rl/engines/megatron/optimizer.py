"""The gradients of a model, summed over all ranks by megatron-core, and the optimizer that uses them."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.optimizer.clip_grads import clip_grad_by_total_norm_fp32
from torch import Tensor

from rl.config.stages import OptimConfig
from rl.engines.megatron.adamw import AdamW
from rl.engines.megatron.cpu import redirected
from rl.engines.megatron.model import RowModel
from rl.engines.megatron.muon import Muon
from rl.engines.megatron.weights import CutWeights, Part, Shard


class Method(Protocol):
    """What updates the weights of this rank."""

    param_groups: list[dict[str, Any]]

    def zero(self) -> None:
        """Forget the gradients."""
        ...

    def norm(self) -> float:
        """Take the gradients from the buffers; their norm over all ranks."""
        ...

    def parameters(self) -> list[Tensor]:
        """The tensors whose gradients it has taken."""
        ...

    def step(self) -> None:
        """Update the weights on all ranks."""
        ...

    def moments(self, part: Part) -> tuple[str, ...]:
        """Names of the state that has the shape of the weights."""
        ...

    def shard(self, part: Part) -> Shard | None:
        """What this rank updates of a parameter; None if others do."""
        ...


def copies_group(part: Part) -> dist.ProcessGroup:
    """The ranks that have the same parameter and other tokens."""
    found: dist.ProcessGroup = (
        parallel_state.get_expert_data_parallel_group()
        if part.peers
        else parallel_state.get_data_parallel_group(with_context_parallel=True)
    )
    return found


class Optimizer:
    """Gradients of a model and the updates from them."""

    def __init__(self, model: RowModel, weights: CutWeights, distributed: bool) -> None:
        """Make the gradient buffers; with ``distributed`` every data-parallel rank has a part of AdamW's state."""
        self._weights, self._bf16 = weights, model.config.bf16
        model.config.finalize_model_grads_func = model.config.grad_scale_func = None
        with redirected():
            settings = DistributedDataParallelConfig(grad_reduce_in_fp32=True, use_distributed_optimizer=distributed)
            self._buffers = DistributedDataParallel(model.config, settings, model.module)
        self._method: Method | None = None
        self._base_lrs: list[float] = []
        self._clip = 1.0
        self.steps = 0
        """Updates since :meth:`begin`."""

    @property
    def method(self) -> Method:
        """AdamW or Muon, since :meth:`begin`."""
        assert self._method is not None, "begin comes first"
        return self._method

    @property
    def lr(self) -> float:
        """The learning rate of the next update; of Muon that for vectors."""
        return float(self.method.param_groups[0]["lr"])

    def begin(self, optim: OptimConfig) -> None:
        """Start from the current weights without moments."""
        self._method, self._clip, self.steps = None, optim.clip_grad, 0  # the old moments go before the new ones come
        with redirected():
            if optim.optimizer == "muon":
                self._method = Muon(self._buffers, self._weights, optim)
            else:
                self._method = AdamW(self._buffers, optim, self._bf16)
        self._base_lrs = [group["lr"] for group in self.method.param_groups]

    def scale_lr(self, factor: float) -> None:
        """The learning rates of the next update, as a factor of those of the stage."""
        for group, lr in zip(self.method.param_groups, self._base_lrs, strict=True):
            group["lr"] = lr * factor

    def zero(self) -> None:
        """Forget all gradients."""
        self._buffers.zero_grad_buffer()
        self.method.zero()

    def update(self, divisor: float, finite: bool) -> float:
        """Add up the gradients of all ranks, divide them, clip them and step; returns their norm before clipping.

        If that is not finite, or ``finite`` is False, the weights stay, and the answer is not finite.
        """
        with redirected():
            finalize_model_grads([self._buffers])
            self._buffers.scale_gradients(1 / divisor)
            norm = self.method.norm()
            if not (finite and math.isfinite(norm)):
                return norm if finite else math.nan
            clip_grad_by_total_norm_fp32(self.method.parameters(), self._clip, norm)
            self.method.step()
        self.steps += 1
        return norm

    def read(self, part: Part, key: str) -> Tensor:
        """``weight`` or a moment of a whole parameter of this rank (fp32). A collective of :func:`copies_group`."""
        shard, parameter = self.method.shard(part), part.parameter
        flat = torch.zeros(parameter.numel(), dtype=torch.float32, device=parameter.device)
        if shard is not None:
            values = shard.main.detach() if key == "weight" else shard.state[key]
            flat[shard.start : shard.end] = values.reshape(-1)
        # The others have only some of it, and zeros elsewhere: the bits stay as they are.
        group = copies_group(part)
        if isinstance(self.method, AdamW) and self.method.cut and group.size() > 1:
            dist.all_reduce(flat.view(torch.int32), group=group)
        return flat.view(parameter.shape)

    def write(self, part: Part, weight: Tensor, moments: dict[str, Tensor], steps: int) -> None:
        """Put weights, and moments where there are some, of a whole parameter of this rank (fp32) in place."""
        shard = self.method.shard(part)
        if shard is None:
            return
        own = slice(shard.start, shard.end)
        shard.main.data.copy_(weight.reshape(-1)[own].view(shard.main.shape))
        for key, values in moments.items():
            shard.state[key] = values.reshape(-1)[own].view(shard.main.shape).to(shard.main.device, copy=True)
        if moments and "momentum" not in moments:
            shard.state["step"] = torch.tensor(float(steps))
