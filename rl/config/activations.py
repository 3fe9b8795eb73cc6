"""Activations: what forward keeps for the backward pass (bytes), counted tensor by tensor as the engines save it.

The engines have no fused kernels, so they keep more than the count of Korthikanti et al. 2022 (arXiv 2205.05198, table
2), which also has no gates. The counts are held against the real engines in tests/rl/engines/test_memory.py.

Where spans differ in length, padding adds up to a third to the part of attention. What the output layer keeps is
counted in :mod:`rl.config.memory`.
"""

from __future__ import annotations

from rl.config.parallel import ModelShape
from rl.config.schema import TrainerConfig


def of_fsdp(shape: ModelShape, tokens: int, bf16: bool, checkpointing: bool) -> float:
    """Of one micro-batch through transformers' layers, whole on every rank (bytes)."""
    element = 2 if bf16 else 4
    norm = 4 + 2 * element  # its input in fp32, normalised, and scaled: the input of the linear layer behind it
    queries, keys = _widths(shape)
    layer = 2 * norm * shape.hidden + element * (5 * queries + 4 * shape.intermediate)
    if shape.qk_norm:
        layer += (4 + element) * (queries + keys)
    last = norm * shape.hidden
    if checkpointing:  # the input of every layer, and one layer again
        return tokens * (shape.layers * element * shape.hidden + max(layer, last))
    return tokens * (shape.layers * layer + last)


def of_megatron(shape: ModelShape, trainer: TrainerConfig, tokens: int, bf16: bool, stage: int) -> float:
    """Of all micro-batches in flight on one rank of a pipeline stage (bytes)."""
    tensor, pipeline = trainer.tensor_parallel, trainer.pipeline_parallel
    along = tensor if trainer.sequence_parallel else 1
    layers, in_flight = shape.layers // pipeline, pipeline - stage
    tokens = -(-tokens // trainer.context_parallel)
    norm = 3 * shape.hidden / along
    attention, kept_attention = _attention(shape, tensor, trainer.context_parallel)
    # The angles of positions, of queries and of keys; both halves of the gated layer, and three tensors made of them.
    others = 2 * norm + 4 * shape.head_dim + _feed_forward(shape) / tensor
    last = norm if stage == pipeline - 1 else 0
    if trainer.recomputes == "full":  # the input of every layer, and one layer again when the last norm is done
        kept = in_flight * layers * shape.hidden / along + max(others + attention, last) - last
    elif trainer.recomputes == "selective":
        kept = in_flight * layers * (others + kept_attention) + attention - kept_attention
    else:
        kept = in_flight * layers * (others + attention)
    return tokens * (2 if bf16 else 4) * (kept + last)


def _attention(shape: ModelShape, tensor: int, context: int) -> tuple[float, float]:
    """Elements a token of one rank's attention, and those that are left when its inner part is computed again."""
    queries, keys = (width / tensor for width in _widths(shape))
    # Queries, keys and values repeated to the heads of the queries, the answer, and this again for the next layer.
    inside, kept = 5 * queries, 2 * queries + keys
    # Queries, the answer, and keys and values of all ranks; on CUDA those of the front are copied to both chunks.
    if context > 1:
        inside = 2 * queries + (2 * context + 1) * keys
    projected = queries + 2 * keys
    if not shape.qk_norm:
        return inside, kept + projected  # of which the values are a part
    copied = queries if shape.kv_heads > tensor else 0  # groups of heads lie apart, so that queries are gathered first
    norms = projected + copied + queries + keys
    return inside + norms, kept + norms


def _feed_forward(shape: ModelShape) -> float:
    """Elements a token of the feed-forward part, the mean over the layers. Experts are taken to be used alike; a token
    goes to several of them and back, which is a rough count."""
    share = len(shape.mixtures) / shape.layers
    of_experts = shape.experts_per_token * (5 * shape.expert_width + 2 * shape.hidden)
    return (1 - share) * 5 * shape.intermediate + share * of_experts


def _widths(shape: ModelShape) -> tuple[int, int]:
    """Width of all queries, and of all keys."""
    return shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
