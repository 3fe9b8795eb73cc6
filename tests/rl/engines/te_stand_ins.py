"""On a machine without a GPU: modules with the signatures and the names of parameters of TransformerEngine's, made of
megatron-core's own. They show where a model has which norm and which weight, not what TransformerEngine computes."""

from unittest import mock

import torch
import torch.nn.functional as F
from megatron.core.extensions import transformer_engine
from megatron.core.tensor_parallel.layers import ColumnParallelLinear, RowParallelLinear

from rl.engines.megatron.engine import build


class NormThenColumns(ColumnParallelLinear):
    """In place of TELayerNormColumnParallelLinear."""

    def __init__(self, input_size, output_size, *, config, **others):
        super().__init__(input_size, output_size, config=config, **others)
        self.layer_norm_weight = torch.nn.Parameter(torch.ones(input_size, dtype=config.params_dtype))
        self.layer_norm_weight.sequence_parallel = config.sequence_parallel

    def forward(self, hidden, *others, **keywords):
        normed = F.rms_norm(hidden, hidden.shape[-1:], self.layer_norm_weight, self.config.layernorm_epsilon)
        return super().forward(normed, *others, **keywords)


def rebuild(actor):
    """The actor's engine again, with trainer.kernels=transformer_engine."""
    trainer = actor.spec.trainer.model_copy(update={"kernels": "transformer_engine"})
    with (
        mock.patch.object(transformer_engine, "TELayerNormColumnParallelLinear", NormThenColumns),
        mock.patch.object(transformer_engine, "TERowParallelLinear", RowParallelLinear),
    ):
        actor.engine = build(actor.spec.model, actor.spec.path, trainer, "cpu")
    return sorted(name for name, _ in actor.engine._model.module.named_parameters() if "norm" in name)
