"""TransformerEngine's layers in a megatron-core model (``trainer.kernels=transformer_engine``, CUDA).

A norm and the matrix product after it are one operation, so that what lies between them is not kept for the backward
pass. Attention, rotary positions, the norms of queries and keys, routers, experts, the last norm and the output layer
stay ours. No number is in fp8.
"""

from __future__ import annotations

from typing import Any

from megatron.core.extensions import transformer_engine
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.spec_utils import ModuleSpec


def put_into(spec: ModuleSpec, *, experts: bool) -> ModuleSpec:
    """A layer of megatron-core's own modules with those of TransformerEngine in their places.

    Args:
        spec: is changed.
        experts: whether the layer is a mixture of experts, whose router needs the norm by itself.
    """
    inside: Any = spec.submodules
    attention = inside.self_attention.submodules
    inside.input_layernorm = IdentityOp
    attention.linear_qkv = transformer_engine.TELayerNormColumnParallelLinear
    attention.linear_proj = transformer_engine.TERowParallelLinear
    if not experts:
        inside.pre_mlp_layernorm = IdentityOp
        inside.mlp.submodules.linear_fc1 = transformer_engine.TELayerNormColumnParallelLinear
        inside.mlp.submodules.linear_fc2 = transformer_engine.TERowParallelLinear
    return spec
