"""Mixtures of experts: the router of transformers in megatron-core's layer, and what its ranks must do together.

megatron-core sends every token to the ranks of its experts, which are dealt over the ranks of a pipeline stage, and
back. Experts are not cut by tensors.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.models.backends import LocalSpecProvider
from megatron.core.models.gpt.moe_module_specs import get_moe_module_spec_for_backend
from megatron.core.optimizer.clip_grads import get_grad_norm_fp32
from megatron.core.transformer.moe.router import Router
from megatron.core.transformer.spec_utils import ModuleSpec
from torch import Tensor

from rl.config.schema import TrainerConfig


class _Router(Router):
    """Hidden states [T, 1, d] to the weight of every expert for each token [T, E], and which of them it goes to.

    As in transformers' Qwen3-MoE: logits in the type of the model, softmax over all experts in fp32, then the largest.
    """

    def __init__(self, *, sums_to_one: bool, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._sums_to_one = sums_to_one
        self.weight.data = self.weight.data.to(torch.cuda.current_device())

    def forward(self, hidden: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.routing(F.linear(hidden.flatten(0, -2), self.weight))

    def routing(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [T, E], and which experts are chosen [T, E], from logits [T, E]."""
        largest, chosen = logits.softmax(-1, dtype=torch.float32).topk(self.config.moe_router_topk, dim=-1)
        if self._sums_to_one:
            largest = largest / largest.sum(-1, keepdim=True)
        weights = torch.zeros_like(logits).scatter(-1, chosen, largest.to(logits.dtype))
        return weights, torch.zeros_like(logits, dtype=torch.bool).scatter(-1, chosen, True)


def config_of(hf: Any, trainer: TrainerConfig) -> dict[str, Any]:
    """What a dense model's configuration lacks; nothing for a model without experts."""
    if hf.model_type != "qwen3_moe" or not hf.num_experts:
        return {}
    return {
        "num_moe_experts": hf.num_experts,
        "moe_ffn_hidden_size": hf.moe_intermediate_size,
        "moe_router_topk": hf.num_experts_per_tok,
        "moe_router_pre_softmax": True,
        "moe_router_load_balancing_type": "none",
        "expert_model_parallel_size": trainer.expert_parallel,
        "expert_tensor_parallel_size": 1,
    }


def feed_forward(hf: Any, layer: int) -> ModuleSpec | None:
    """The mixture of experts of a layer, counted from 0; None if it has a dense feed-forward network."""
    if hf.model_type != "qwen3_moe" or not hf.num_experts:
        return None
    if layer in (hf.mlp_only_layers or ()) or (layer + 1) % hf.decoder_sparse_step:
        return None
    spec = get_moe_module_spec_for_backend(LocalSpecProvider(), hf.num_experts)
    inside: Any = spec.submodules
    inside.router = partial(_Router, sums_to_one=hf.norm_topk_prob)
    return spec


def mark(module: torch.nn.Module) -> None:
    """Keep the gradients of experts out of the sum over all data-parallel ranks, also where no expert is elsewhere."""
    parameter: Any
    for name, parameter in module.named_parameters():
        if ".local_experts." in name:
            parameter.allreduce = False


def norm(dense: list[Tensor], experts: list[Tensor], mixture: bool) -> float:
    """Norm of the gradients over all ranks, where each is whole on all its copies. A stage may be without experts."""
    squares = get_grad_norm_fp32(dense, grad_stats_parallel_group=parallel_state.get_model_parallel_group()) ** 2
    if mixture:
        group = parallel_state.get_expert_tensor_model_pipeline_parallel_group()
        squares += get_grad_norm_fp32(experts, grad_stats_parallel_group=group) ** 2
    return math.sqrt(squares)


def in_step(rows: list[list[int]]) -> list[list[int]]:
    """As many micro-batches on every data-parallel rank, the last ones empty: tokens go to experts on other ranks, so
    all ranks go through the layers together."""
    count = torch.tensor(len(rows), device=torch.cuda.current_device())
    dist.all_reduce(count, dist.ReduceOp.MAX, group=parallel_state.get_data_parallel_group())
    return rows + [[] for _ in range(int(count) - len(rows))]
