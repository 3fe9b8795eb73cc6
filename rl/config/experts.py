"""How the megatron engine deals the experts of a mixture over ranks, and what is impossible.

Each of ``trainer.expert_parallel`` ranks of a pipeline stage has as many whole experts. The ranks of a stage are its
tensor-parallel ranks times those of context parallelism times its copies of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rl.config.schema import TrainerConfig


def states_experts(values: Mapping[str, Any]) -> bool:
    """Whether config.json holds all sizes of the mixtures, as it need not; True of a model that can't have experts."""
    if values["model_type"] != "qwen3_moe":
        return True
    experts = values.get("num_experts", values.get("num_local_experts"))
    sizes = [values.get("num_experts_per_tok"), values.get("moe_intermediate_size")] if experts else []
    sizes.append(values.get("decoder_sparse_step", 1))
    return isinstance(experts, int) and all(isinstance(size, int) and size > 0 for size in sizes)


def experts_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of the mixtures in what config.json holds, for a model's shape; nothing for a model without experts."""
    experts = values.get("num_experts") or values.get("num_local_experts")
    if values["model_type"] != "qwen3_moe" or not experts:
        return {}
    dense, every = values.get("mlp_only_layers") or (), values.get("decoder_sparse_step", 1)
    layers = range(values["num_hidden_layers"])
    return {
        "experts": experts,
        "experts_per_token": values["num_experts_per_tok"],
        "expert_width": values["moe_intermediate_size"],
        "mixtures": frozenset(n for n in layers if n not in dense and (n + 1) % every == 0),
    }


def experts_on(rank: int, trainer: TrainerConfig, experts: int) -> tuple[int, int] | None:
    """First and last expert of a rank, from 1; None if there are none."""
    if not experts:
        return None
    each = experts // trainer.expert_parallel
    first = rank % trainer.expert_parallel * each  # it divides the ranks of a stage
    return first + 1, first + each


def expert_problems(trainer: TrainerConfig, experts: int | None) -> list[str]:
    """Why experts can't be dealt in a layout that is possible for all other weights.

    Args:
        trainer: its tensor and pipeline parallel size divide its world size.
        experts: of each mixture of the model, 0 if it has none, None if that is not known.
    """
    expert, stage = trainer.expert_parallel, trainer.world_size // trainer.pipeline_parallel
    if experts == 0:
        message = f"trainer.expert_parallel={expert} needs a mixture of experts, and this model has none; set it to 1"
        return [message] if expert > 1 else []
    found = []
    if stage % expert:
        found.append(
            f"trainer.expert_parallel={expert} does not divide the {stage} rank{'s' * (stage > 1)} of each pipeline "
            f"stage (tensor x context x data parallel)"
        )
    if experts is not None and experts % expert:
        found.append(f"trainer.expert_parallel={expert} does not divide the model's {experts} experts")
    if found:
        works = [n for n in range(1, stage + 1) if stage % n == 0 and (experts is None or experts % n == 0)]
        found[-1] += f"; here it can be {', '.join(map(str, works))}"
        if experts is None or experts % expert == 0:
            found[-1] += f", or set trainer.world_size={-(-stage // expert) * expert * trainer.pipeline_parallel}"
    if experts is not None and trainer.tensor_parallel > 1 and not trainer.sequence_parallel:
        found.append(
            "with a mixture of experts trainer.tensor_parallel > 1 needs trainer.sequence_parallel=true, so that each "
            "tensor-parallel rank sends other tokens to the experts"
        )
    return found
