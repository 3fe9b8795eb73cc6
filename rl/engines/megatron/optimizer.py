"""AdamW over megatron-core's gradient buffers, its moments on every rank or cut over the data-parallel ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import megatron.core.optimizer as megatron_optimizer
import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.optimizer.clip_grads import clip_grad_by_total_norm_fp32
from torch import Tensor

from rl.config.stages import OptimConfig
from rl.engines.megatron.cpu import redirected
from rl.engines.megatron.model import RowModel

MOMENTS = ("exp_avg", "exp_avg_sq")
EPSILON = 1e-8
"""As torch's AdamW has it by default, and so the other engine."""


@dataclass(frozen=True)
class _Shard:
    """What this rank updates of one parameter."""

    main: Tensor
    """Weights in fp32, flat if they are a part: the parameter itself, or a copy of one in bf16."""
    state: dict[str, Tensor]
    """torch's state of them: the moments and the number of steps."""
    start: int
    end: int
    """Place in the flat parameter."""


class Optimizer:
    """Gradients and AdamW of a model."""

    def __init__(self, model: RowModel, distributed: bool) -> None:
        """With ``distributed`` every data-parallel rank updates its part of the weights."""
        # torch's AdamW everywhere, as in the other engine: other ones keep their state in other forms.
        module: Any = megatron_optimizer
        module.USING_PYTORCH_OPTIMIZER = True
        self._distributed, self._model = distributed, model
        self._group = parallel_state.get_data_parallel_group()
        model.config.finalize_model_grads_func = model.config.grad_scale_func = None
        with redirected():
            settings = DistributedDataParallelConfig(grad_reduce_in_fp32=True, use_distributed_optimizer=distributed)
            self._buffers = DistributedDataParallel(model.config, settings, model.module)
        self._optimizer: Any = None
        self._optim = OptimConfig()
        self.steps = 0
        """Updates of AdamW since :meth:`begin`."""

    def begin(self, optim: OptimConfig) -> None:
        """Start from the current weights without moments. In bf16 the weights in fp32 start from those in bf16."""
        self._optimizer, self._optim, self.steps = None, optim, 0
        bf16 = self._model.config.bf16
        config = megatron_optimizer.OptimizerConfig(
            optimizer="adam",
            lr=optim.lr,
            weight_decay=optim.weight_decay,
            adam_beta1=optim.betas[0],
            adam_beta2=optim.betas[1],
            adam_eps=EPSILON,
            clip_grad=optim.clip_grad,
            bf16=bf16,
            params_dtype=torch.bfloat16 if bf16 else torch.float32,
            use_distributed_optimizer=self._distributed,
        )
        with redirected():
            # {}: vectors are decayed like matrices, as in the other engine.
            self._optimizer = megatron_optimizer.get_megatron_optimizer(
                config, [self._buffers], config_overrides={}, use_gloo_process_groups=False
            )

    def set_lr(self, lr: float) -> None:
        """The learning rate of the next update."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr

    def zero(self) -> None:
        """Forget all gradients."""
        self._buffers.zero_grad_buffer()
        self._optimizer.zero_grad()

    def update(self, divisor: float, finite: bool) -> float:
        """Add up the gradients of all ranks, divide them, clip them and step; returns their norm before clipping.

        If that is not finite, or ``finite`` is False, the weights stay, and the answer is not finite.
        """
        optimizer = self._optimizer
        with redirected():
            finalize_model_grads([self._buffers])
            self._buffers.scale_gradients(1 / divisor)
            optimizer.prepare_grads()
            norm = float(optimizer.get_grad_norm())
            if not (finite and math.isfinite(norm)):
                return norm if finite else math.nan
            clip_grad_by_total_norm_fp32(optimizer.get_parameters(), self._optim.clip_grad, norm)
            optimizer.step_with_ready_grads()
        self.steps += 1
        return norm

    def read(self, parameter: torch.nn.Parameter, key: str) -> Tensor:
        """``weight`` or a moment of a whole parameter of this rank (fp32). A collective of the data-parallel ranks."""
        shard = self._shard(parameter)
        flat = torch.zeros(parameter.numel(), dtype=torch.float32, device=parameter.device)
        if shard is not None:
            values = shard.main.detach() if key == "weight" else shard.state[key]
            flat[shard.start : shard.end] = values.reshape(-1)
        if self._distributed and self._group.size() > 1:
            dist.all_reduce(
                flat.view(torch.int32), group=self._group
            )  # every other rank has zeros; bits stay as they are
        return flat.view(parameter.shape)

    def write(
        self, parameter: torch.nn.Parameter, weight: Tensor, moments: dict[str, Tensor] | None, steps: int
    ) -> None:
        """Put weights and moments of a whole parameter of this rank (fp32) in place; None leaves the moments."""
        shard = self._shard(parameter)
        if shard is None:
            return
        own = slice(shard.start, shard.end)
        shard.main.data.copy_(weight.reshape(-1)[own].view(shard.main.shape))
        if moments is not None:
            shard.state["step"] = torch.tensor(float(steps))
            for key, values in moments.items():
                shard.state[key] = values.reshape(-1)[own].view(shard.main.shape).to(shard.main.device, copy=True)

    def _shard(self, parameter: Any) -> _Shard | None:
        (optimizer,) = self._optimizer.chained_optimizers
        if not self._distributed:
            main = getattr(parameter, "main_param", None)
            main = parameter if main is None else main
            return _Shard(main, optimizer.optimizer.state[main], 0, parameter.numel())
        if parameter not in optimizer.model_param_gbuf_map:
            return None
        group, place = optimizer.model_param_group_index_map[parameter]
        main = optimizer.optimizer.param_groups[group]["params"][place]
        where = optimizer._get_model_param_range_map(parameter)["param"]
        return _Shard(main, optimizer.optimizer.state[main], where.start, where.end)
