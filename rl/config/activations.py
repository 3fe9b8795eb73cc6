"""Activations: what forward keeps for the backward pass (bytes), counted tensor by tensor as the engines save them.

The engines have no fused kernels, so more is kept than in the count of Korthikanti et al. 2022 (arXiv 2205.05198,
table 2), which has no gate and no grouped heads. What is measured on the real engines: tests/rl/engines/test_memory.py.

Attention runs over spans of equal length; where lengths differ, padding adds up to a third to its part. The output layer
keeps logits of a slice at most (:mod:`rl.engines.head`) and is counted in :mod:`rl.config.memory`.
"""

from __future__ import annotations

from rl.config.parallel import ModelShape
from rl.config.schema import TrainerConfig


def of_fsdp(shape: ModelShape, tokens: int, bf16: bool, checkpointing: bool) -> float:
    """Of one micro-batch through transformers' layers, whole on every rank (bytes)."""
    element = 2 if bf16 else 4
    norm = 4 + 2 * element  # its input in fp32, normalised, and scaled, for the linear layer behind it
    layer = 2 * norm * shape.hidden + element * (_attention(shape) + 4 * shape.intermediate)
    if shape.qk_norm:
        layer += (4 + element) * (shape.heads + shape.kv_heads) * shape.head_dim
    last = norm * shape.hidden
    if checkpointing:  # the input of every layer, and one layer again
        return tokens * (shape.layers * element * shape.hidden + max(layer, last))
    return tokens * (shape.layers * layer + last)


def of_megatron(shape: ModelShape, trainer: TrainerConfig, tokens: int, bf16: bool, stage: int) -> float:
    """Of all micro-batches in flight on one rank of a pipeline stage (bytes)."""
    element, tensor, pipeline = 2 if bf16 else 4, trainer.tensor_parallel, trainer.pipeline_parallel
    along = tensor if trainer.sequence_parallel else 1
    layers = shape.layers // pipeline
    attention = _attention(shape)
    if trainer.recompute == "selective":  # its input and its answer, and one layer's again
        attention = (2 * shape.heads + 2 * shape.kv_heads) * shape.head_dim
    cut = attention + 4 * shape.intermediate
    if shape.qk_norm:
        cut += (shape.heads + shape.kv_heads) * shape.head_dim
    layer = 4 * shape.hidden / along + cut / tensor
    in_flight = pipeline - stage
    if trainer.recompute == "full":
        kept = in_flight * layers * shape.hidden / along + layer
    else:
        kept = in_flight * layers * layer
    last = 2 * shape.hidden / along if stage == pipeline - 1 else 0
    return tokens * element * (kept + last)


def _attention(shape: ModelShape) -> int:
    """Elements a token: queries, keys and values repeated to the heads of the queries, the answer, and once more as the
    input of the layer behind it."""
    return 5 * shape.heads * shape.head_dim
