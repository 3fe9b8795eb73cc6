"""Names and layouts of weights: those of transformers, and the parts of tensor-parallel ranks in megatron-core.

Qwen3, Qwen2.5 and Llama, and Qwen3's mixtures of experts. Both directions only move numbers, so that a round trip
changes no bit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_LAYER = {
    "input_layernorm.weight": ("whole", ("input_layernorm.weight",)),
    "self_attention.linear_qkv.layer_norm_weight": ("whole", ("input_layernorm.weight",)),  # of TransformerEngine
    "self_attention.linear_qkv.weight": ("qkv", tuple(f"self_attn.{x}_proj.weight" for x in "qkv")),
    "self_attention.linear_qkv.bias": ("qkv", tuple(f"self_attn.{x}_proj.bias" for x in "qkv")),
    "self_attention.linear_proj.weight": ("columns", ("self_attn.o_proj.weight",)),
    "self_attention.q_layernorm.weight": ("whole", ("self_attn.q_norm.weight",)),
    "self_attention.k_layernorm.weight": ("whole", ("self_attn.k_norm.weight",)),
    "pre_mlp_layernorm.weight": ("whole", ("post_attention_layernorm.weight",)),
    "mlp.linear_fc1.layer_norm_weight": ("whole", ("post_attention_layernorm.weight",)),
    "mlp.linear_fc1.weight": ("pair", ("mlp.gate_proj.weight", "mlp.up_proj.weight")),
    "mlp.linear_fc2.weight": ("columns", ("mlp.down_proj.weight",)),
    "mlp.router.weight": ("whole", ("mlp.gate.weight",)),
}
_EXPERT = re.compile(r"mlp\.experts\.local_experts\.(\d+)\.linear_(fc[12])\.weight")
_OF_EXPERT = {
    "fc1": ("pair", ("gate_proj.weight", "up_proj.weight"), "gate_up_proj"),
    "fc2": ("whole", ("down_proj.weight",), "down_proj"),
}
"""Weights of one expert under the names of a checkpoint, and the tensor of all experts in transformers' memory."""


@dataclass(frozen=True)
class Heads:
    """Sizes of attention."""

    heads: int
    kv_heads: int
    head_dim: int

    def pack(self, parts: Sequence[Tensor]) -> Tensor:
        """Queries, keys and values to megatron's rows: for each key-value head its queries, its key, its value."""
        counts = (self.heads // self.kv_heads, 1, 1)
        split = [
            part.reshape(self.kv_heads, count * self.head_dim, *part.shape[1:])
            for part, count in zip(parts, counts, strict=True)
        ]
        return torch.cat(split, 1).flatten(0, 1)

    def unpack(self, rows: Tensor) -> list[Tensor]:
        """The way back."""
        repeat = self.heads // self.kv_heads
        by_head = rows.reshape(self.kv_heads, (repeat + 2) * self.head_dim, *rows.shape[1:])
        sizes = [repeat * self.head_dim, self.head_dim, self.head_dim]
        return [part.flatten(0, 1) for part in by_head.split(sizes, 1)]


@dataclass(frozen=True)
class Layout:
    """How one of megatron's parameters is made from weights of transformers."""

    kind: str
    """``whole`` on every rank, cut by ``rows`` or ``columns``, ``pair`` of two stacked, or ``qkv`` interleaved."""
    names: tuple[str, ...]
    """transformers' names; of an expert those in its checkpoints."""
    heads: Heads
    expert: int | None = None
    """Number of the expert in the model; None of every other weight."""
    fused: str = ""
    """transformers' name in memory for all experts together, of which the parameter is row :attr:`expert`."""

    def cut(self, weights: Sequence[Tensor], rank: int, size: int) -> Tensor:
        """A rank's part of the whole weights."""
        if self.kind == "qkv":
            return self.heads.pack(weights).chunk(size, 0)[rank]
        if self.kind == "pair":
            return torch.cat([weight.chunk(size, 0)[rank] for weight in weights], 0)
        (weight,) = weights
        return weight if self.kind == "whole" else weight.chunk(size, 0 if self.kind == "rows" else 1)[rank]

    def join(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """The whole weights from the parts of all ranks, in the order of :attr:`names`."""
        if self.kind == "qkv":
            return self.heads.unpack(torch.cat(list(parts)))
        if self.kind == "pair":
            halves = [part.chunk(2, 0) for part in parts]
            return [torch.cat([half[i] for half in halves]) for i in (0, 1)]
        if self.kind == "whole":
            return [parts[0]]
        return [torch.cat(list(parts), 0 if self.kind == "rows" else 1)]


def layout_of(name: str, heads: Heads, tied: bool, first_layer: int, first_expert: int = 0) -> Layout:
    """The layout of a parameter, by its name in megatron-core.

    Args:
        name: in a pipeline stage, where layers are counted from 0.
        heads: of the whole model.
        tied: whether input and output embeddings are one matrix, of which the last stage holds a copy.
        first_layer: number of the stage's first layer in the model.
        first_expert: number of the rank's first expert in the model.
    """
    if name == "embedding.word_embeddings.weight":
        return Layout("rows", ("model.embed_tokens.weight",), heads)
    if name == "output_layer.weight":
        return Layout("rows", ("model.embed_tokens.weight" if tied else "lm_head.weight",), heads)
    if name == "decoder.final_layernorm.weight":
        return Layout("whole", ("model.norm.weight",), heads)
    _, _, number, rest = name.split(".", 3)  # decoder.layers.3.…
    layer = f"model.layers.{int(number) + first_layer}"
    if found := _EXPERT.fullmatch(rest):
        expert, (kind, parts, fused) = int(found[1]) + first_expert, _OF_EXPERT[found[2]]
        names = tuple(f"{layer}.mlp.experts.{expert}.{part}" for part in parts)
        return Layout(kind, names, heads, expert, f"{layer}.mlp.experts.{fused}")
    kind, parts = _LAYER[rest]
    return Layout(kind, tuple(f"{layer}.{part}" for part in parts), heads)
