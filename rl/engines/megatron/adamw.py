"""AdamW by megatron-core: its moments on every rank, or cut over the data-parallel ranks."""

from __future__ import annotations

from typing import Any

import megatron.core.optimizer as megatron_optimizer
import torch
from megatron.core.distributed import DistributedDataParallel
from torch import Tensor

from rl.config.stages import OptimConfig
from rl.engines.megatron import experts
from rl.engines.megatron.weights import Part, Shard
from rl.engines.muon import EPSILON


class AdamW:
    """torch's AdamW over the parts of the weights that this rank updates."""

    def __init__(self, buffers: DistributedDataParallel, optim: OptimConfig, bf16: bool) -> None:
        """Without moments. In bf16 the weights in fp32 start from those in bf16."""
        # torch's AdamW everywhere, as in the other engine: other ones keep their state in other forms.
        module: Any = megatron_optimizer
        module.USING_PYTORCH_OPTIMIZER = True
        self._mixture = bool(buffers.config.num_moe_experts)
        self.cut: bool = buffers.ddp_config.use_distributed_optimizer
        config = megatron_optimizer.OptimizerConfig(
            optimizer="adam",
            lr=optim.lr,
            weight_decay=optim.weight_decay,
            adam_beta1=optim.betas[0],
            adam_beta2=optim.betas[1],
            adam_eps=EPSILON,
            bf16=bf16,
            params_dtype=torch.bfloat16 if bf16 else torch.float32,
            use_distributed_optimizer=self.cut,
        )
        # {}: vectors are decayed like matrices, as in the other engine.
        self._megatron: Any = megatron_optimizer.get_megatron_optimizer(
            config, [buffers], config_overrides={}, use_gloo_process_groups=False
        )
        self.param_groups: list[dict[str, Any]] = self._megatron.param_groups

    def zero(self) -> None:
        self._megatron.zero_grad()

    def norm(self) -> float:
        self._megatron.prepare_grads()
        if self.cut:
            return float(self._megatron.get_grad_norm())
        dense, *of_experts = (each.get_main_grads_for_grad_norm() for each in self._megatron.chained_optimizers)
        return experts.norm(dense, of_experts[0] if of_experts else [], self._mixture)

    def parameters(self) -> list[Tensor]:
        return [tensor for each in self._megatron.chained_optimizers for tensor in each.get_parameters()]

    def step(self) -> None:
        self._megatron.step_with_ready_grads()

    def moments(self, part: Part) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def shard(self, part: Part) -> Shard | None:
        parameter: Any = part.parameter
        *others, last = self._megatron.chained_optimizers  # experts have one of their own
        optimizer = last if part.peers or not others else others[0]
        if not self.cut:
            main = getattr(parameter, "main_param", None)
            main = parameter if main is None else main
            return Shard(main, optimizer.optimizer.state[main], 0, parameter.numel())
        if parameter not in optimizer.model_param_gbuf_map:
            return None
        group, place = optimizer.model_param_group_index_map[parameter]
        main = optimizer.optimizer.param_groups[group]["params"][place]
        where = optimizer._get_model_param_range_map(parameter)["param"]
        return Shard(main, optimizer.optimizer.state[main], where.start, where.end)
