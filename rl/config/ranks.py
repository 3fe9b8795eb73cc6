"""What each rank of the megatron engine holds of a model that is cut.

Ranks are numbered as megatron-core does: tensor-parallel neighbours first, then the parts of a row, then data-parallel
ones, then stages.
"""

from __future__ import annotations

from dataclasses import dataclass

from rl.config.activations import of_megatron
from rl.config.experts import experts_on
from rl.config.parallel import ModelShape, model_shape
from rl.config.schema import RunConfig, TrainerConfig


@dataclass(frozen=True)
class RankPlan:
    """What one trainer rank holds."""

    rank: int
    data: int
    """Which share of a batch it gets, from 0."""
    tensor: int
    """Which part of every layer it has, from 0."""
    context: int
    """Which part of every row it has, from 0."""
    layers: tuple[int, int]
    """First and last layer, from 1."""
    parameters: int
    weights_gib: float
    gradients_gib: float
    optimizer_gib: float
    """Moments, and in bf16 the weights in fp32."""
    activations_gib: float
    """Activations of the micro-batches in flight."""
    experts: tuple[int, int] | None = None
    """First and last expert of each mixture, from 1; None without."""

    @property
    def state_gib(self) -> float:
        """Weights, gradients and the optimizer's state."""
        return self.weights_gib + self.gradients_gib + self.optimizer_gib


def rank_plans(config: RunConfig, tokens: int, bf16: bool) -> tuple[RankPlan, ...]:
    """What every trainer rank of a possible layout holds; nothing if the model's shape is not known.

    Args:
        config: of the run.
        tokens: most tokens of a micro-batch.
        bf16: whether weights and activations are in bf16 beside an fp32 copy of the weights, as on CUDA.
    """
    trainer, shape = config.trainer, model_shape(config.model)
    if trainer.engine != "megatron" or shape is None:
        return ()
    tensor, pipeline, context = trainer.tensor_parallel, trainer.pipeline_parallel, trainer.context_parallel
    copies = trainer.world_size // (tensor * pipeline)  # of the weights: those that share rows have one each
    found = []
    for rank in range(trainer.world_size):
        stage = rank // (tensor * copies)
        layers = shape.layers // pipeline
        of_experts = _stage_experts(shape, trainer, stage)
        others = _stage_parameters(shape, trainer, stage)
        parameters = others + of_experts
        # gradients are in fp32; the optimizer's state is two moments, and in bf16 the weights in fp32
        kept: float = parameters
        if trainer.distributed_optimizer:  # an expert has fewer copies than what every rank of a stage has
            kept = others / copies + of_experts * trainer.expert_parallel / (tensor * copies)
        found.append(
            RankPlan(
                rank,
                rank // tensor % copies // context,
                rank % tensor,
                rank // tensor % context,
                (stage * layers + 1, (stage + 1) * layers),
                parameters,
                parameters * (2 if bf16 else 4) / 2**30,
                parameters * 4 / 2**30,
                kept * (12 if bf16 else 8) / 2**30,
                of_megatron(shape, trainer, tokens, bf16, stage) / 2**30,
                experts_on(rank, trainer, shape.experts),
            )
        )
    return tuple(found)


def _stage_parameters(shape: ModelShape, trainer: TrainerConfig, stage: int) -> int:
    tensor, last = trainer.tensor_parallel, trainer.pipeline_parallel - 1
    layer = shape.layer // tensor + 2 * shape.hidden + shape.extra_per_layer
    router = shape.experts * shape.hidden - 3 * shape.hidden * shape.intermediate // tensor
    matrices = int(stage == 0) + int(stage == last and (not shape.tied or last > 0))
    ends = shape.hidden * (stage == last) + matrices * shape.embedding // tensor
    return shape.layers // trainer.pipeline_parallel * layer + _mixtures(shape, trainer, stage) * router + ends


def _stage_experts(shape: ModelShape, trainer: TrainerConfig, stage: int) -> int:
    return _mixtures(shape, trainer, stage) * shape.experts // trainer.expert_parallel * shape.expert


def _mixtures(shape: ModelShape, trainer: TrainerConfig, stage: int) -> int:
    layers = shape.layers // trainer.pipeline_parallel
    return sum(layer // layers == stage for layer in shape.mixtures)
