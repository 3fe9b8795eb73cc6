"""Memory of the GPUs of a run, item by item, and whether it is enough.

A GPU goes through three phases: vLLM samples, gradients are computed, the weights are updated. What is held in each is
added up; the largest sum counts. Weights, gradients and moments are exact; activations are counted as the engines save
them (:mod:`rl.config.activations`); contexts and the engines' work space are estimates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rl.config.activations import of_fsdp
from rl.config.parallel import ModelShape, model_shape
from rl.config.ranks import RankPlan, rank_plans
from rl.config.schema import RunConfig
from rl.device import CUDA

SAMPLE, GRADIENTS, UPDATE = "sampling", "gradients", "update"
FREE = 0.05
"""Share of a GPU that must stay free: what CUDA itself takes, and gaps between blocks."""
CONTEXT_GIB = 1.0
"""Estimate of a process's CUDA context and NCCL buffers (GiB)."""
ENGINE_GIB = 2.0
"""Estimate of what vLLM needs beside weights and cache (GiB)."""
LOGITS_BYTES = 2**28
"""Logits of one slice on CUDA, as :data:`rl.engines.head.SLICE_BYTES` (bytes of fp32)."""
SENT_BYTES = 2 * 2**30
"""vLLM's two buffers of a broadcast over NCCL."""
PART_BYTES = 2 * 2**30
"""A part of the weights on their way over CUDA IPC (:mod:`rl.weights.transfer`)."""
LARGEST_SHARE = 0.95
"""Largest ``rollout.gpu_memory_utilization``."""
GIB = 2**30


@dataclass(frozen=True)
class Held:
    """Something in the memory of a GPU."""

    what: str
    gib: float
    during: tuple[str, ...] = (SAMPLE, GRADIENTS, UPDATE)
    certain: bool = False
    """Whether it is exact, so that a sum of such alone decides."""


@dataclass(frozen=True)
class Card:
    """The fullest of the GPUs with the same work."""

    who: str
    number: int
    """GPUs with this work."""
    held: tuple[Held, ...]
    gib: float
    """Memory of the GPU."""

    def in_phase(self, phase: str, certain: bool = False) -> float:
        """What is held in a phase (GiB); with ``certain`` only what is exact."""
        return sum(one.gib for one in self.held if phase in one.during and (one.certain or not certain))

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases in which it holds something beside what is always there, in order."""
        found = {phase for one in self.held for phase in one.during}
        return tuple(phase for phase in (SAMPLE, GRADIENTS, UPDATE) if phase in found)

    @property
    def fullest(self) -> str:
        """The phase with the largest sum."""
        return max(self.phases, key=self.in_phase)

    @property
    def peak(self) -> float:
        """The largest sum (GiB)."""
        return self.in_phase(self.fullest)

    @property
    def fits(self) -> bool:
        """Whether the largest sum leaves :data:`FREE`."""
        return self.peak <= self.gib * (1 - FREE)

    @property
    def impossible(self) -> bool:
        """Whether what is exact is already more than the GPU has."""
        return any(self.in_phase(phase, certain=True) > self.gib for phase in self.phases)


@dataclass(frozen=True)
class Work:
    """What a run does on its GPUs, as far as their memory depends on it."""

    tokens: int
    """Most tokens of a micro-batch."""
    samples: bool
    """Whether a stage samples, so that there are rollout engines."""
    reference: bool
    """Whether there is a frozen reference model."""


def cards(config: RunConfig, work: Work, gib: float) -> tuple[Card, ...]:
    """What the GPUs of a run hold; nothing if the model's shape is not known.

    Args:
        config: of the run, with a layout that is possible.
        work: what it does.
        gib: memory of each GPU.
    """
    shape = model_shape(config.model)
    if shape is None:
        return ()
    split, replicas = config.cluster.placement == "split", config.rollout.replicas if work.samples else 0
    ranks = config.trainer.world_size
    trainers = []
    for rank, held in _trainers(config, shape, work):
        shares = not split and rank < replicas
        copy = _copy(config, shape, rank, replicas)
        rollout = _rollout(config, shape, gib) if shares else ()
        idle = () if split or not replicas else (Held("vLLM asleep: context", CONTEXT_GIB, (GRADIENTS, UPDATE)),)
        trainers.append(Card(f"trainer/{rank}", ranks, (*held, *copy, *rollout, *(idle if shares else ())), gib))
    fullest = max(trainers, key=lambda card: card.peak)
    if not split and replicas:
        fullest = replace(fullest, who=f"{fullest.who} with a rollout")
    found = [fullest]
    if split and replicas:
        found.append(Card("rollout", replicas, (*_rollout(config, shape, gib), _received(config)), gib))
    elif replicas > ranks:
        found.append(Card("rollout alone", replicas - ranks, _rollout(config, shape, gib), gib))
    return tuple(found)


def _trainers(config: RunConfig, shape: ModelShape, work: Work) -> list[tuple[int, tuple[Held, ...]]]:
    """(rank, what it holds) of one rank of each kind."""
    if config.trainer.engine == "fsdp":
        return [(0, _fsdp(config, shape, work))]
    plans = rank_plans(config, work.tokens, bf16=True)
    first = {(plan.parameters, plan.layers): plan for plan in reversed(plans)}
    return [(plan.rank, _megatron(config, shape, work, plan)) for plan in first.values()]


def _fsdp(config: RunConfig, shape: ModelShape, work: Work) -> tuple[Held, ...]:
    trainer, ranks = config.trainer, config.trainer.world_size
    adapter = _adapter(shape, config.model.lora_rank)
    whole, trained = (shape.parameters + adapter) / ranks, (adapter or shape.parameters) / ranks
    update = (UPDATE,) if trainer.offload_optimizer else (SAMPLE, GRADIENTS, UPDATE)
    root = shape.embedding * (1 if shape.tied else 2)
    # Two layers in bf16, one in use and one on its way; one gradient before it is cut, in bf16 and in fp32. What is
    # outside of the layers stays whole from forward to backward.
    gathered = 2 * (2 * shape.layer + root) + 6 * shape.layer
    return (
        Held("weights (fp32)", 4 * whole / GIB, certain=True),
        Held("gradients (fp32)", 4 * trained / GIB, (GRADIENTS, UPDATE), certain=True),
        Held("Adam's moments (fp32)", 8 * trained / GIB, update, certain=True),
        Held("work space of the update", 4 * trained / GIB, (UPDATE,)),
        *((Held("reference (fp32)", 4 * shape.parameters / ranks / GIB, certain=True),) if work.reference else ()),
        Held("whole layers", gathered / GIB, (GRADIENTS,)),
        Held("activations", of_fsdp(shape, work.tokens, True, trainer.gradient_checkpointing) / GIB, (GRADIENTS,)),
        Held("slice of logits, output layer's gradient", _logits(shape, 1) / GIB, (GRADIENTS,)),
        Held("contexts", CONTEXT_GIB * (1 + work.reference)),
    )


def _megatron(config: RunConfig, shape: ModelShape, work: Work, plan: RankPlan) -> tuple[Held, ...]:
    last = plan.layers[1] == shape.layers
    # The update makes a temporary of the size of one moment, and the optimizer holds two and the weights.
    work_space = plan.optimizer_gib / 3
    return (
        Held("weights (bf16)", plan.weights_gib, certain=True),
        Held("gradients (fp32)", plan.gradients_gib, certain=True),
        Held("weights and moments of the optimizer (fp32)", plan.optimizer_gib, certain=True),
        Held("work space of the update", work_space, (UPDATE,)),
        *((Held("reference (bf16)", plan.weights_gib, certain=True),) if work.reference else ()),
        Held("activations", plan.activations_gib, (GRADIENTS,)),
        Held(
            "slice of logits, output layer's gradient",
            _logits(shape, config.trainer.tensor_parallel) / GIB * last,
            (GRADIENTS,),
        ),
        Held("contexts", CONTEXT_GIB * (1 + work.reference)),
    )


def _logits(shape: ModelShape, tensor: int) -> float:
    """Four tensors of a slice, and the output layer's gradient in fp32, with a slice's part of it in bf16 (bytes)."""
    return 4 * LOGITS_BYTES + 6 * shape.embedding / tensor


def _copy(config: RunConfig, shape: ModelShape, rank: int, replicas: int) -> tuple[Held, ...]:
    """What a trainer rank holds of weights on their way to the rollout."""
    if not replicas:
        return ()
    backend = CUDA.transfer(config.rollout.weight_transfer, config.cluster.placement == "split")
    largest = 6 * max(shape.embedding, shape.hidden * shape.intermediate)
    if backend == "ipc":
        part = min(PART_BYTES, 2 * shape.parameters)
        return (Held("part of the weights for the rollout", (part + largest) / GIB, (SAMPLE,)),)
    if backend == "nccl" and rank == 0:
        return (Held("buffers of the broadcast", (SENT_BYTES + largest) / GIB, (SAMPLE,)),)
    return (Held("one whole tensor for the rollout", largest / GIB, (SAMPLE,)),)


def _received(config: RunConfig) -> Held:
    nccl = CUDA.transfer(config.rollout.weight_transfer, split=True) == "nccl"
    return Held("buffers of the broadcast", SENT_BYTES / GIB * nccl, (SAMPLE,))


def _rollout(config: RunConfig, shape: ModelShape, gib: float) -> tuple[Held, ...]:
    share = config.rollout.gpu_memory_utilization * gib
    weights = 2 * shape.parameters / GIB
    cache = max(share - weights - ENGINE_GIB, _one_sequence(config, shape))
    return (
        Held("vLLM: weights (bf16)", weights, (SAMPLE,), certain=True),
        Held("vLLM: key-value cache", cache, (SAMPLE,)),
        Held("vLLM: work space", ENGINE_GIB, (SAMPLE,)),
    )


def rollout_gib(config: RunConfig) -> float:
    """The least that a rollout engine needs: weights, work space, and the cache of one sequence (GiB)."""
    shape = model_shape(config.model)
    return 0.0 if shape is None else 2 * shape.parameters / GIB + ENGINE_GIB + _one_sequence(config, shape)


def _one_sequence(config: RunConfig, shape: ModelShape) -> float:
    """Key-value cache of the longest sequence in bf16 (GiB)."""
    return config.model.max_length * 4 * shape.layers * shape.kv_heads * shape.head_dim / GIB


def _adapter(shape: ModelShape, rank: int) -> int:
    """Weights of a LoRA adapter on all linear layers."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    sides = 2 * (shape.hidden + queries) + 2 * (shape.hidden + keys) + 3 * (shape.hidden + shape.intermediate)
    return shape.layers * rank * sides


def shortages(found: Sequence[Card], config: RunConfig) -> list[str]:
    """A sentence for each kind of GPU that is too full, and for a rollout engine whose share is too small."""
    lines = []
    for card in found:
        if not card.fits:
            of = f" (the fullest of {card.number})" if card.number > 1 else ""
            largest = sorted((h for h in card.held if card.fullest in h.during), key=lambda h: -h.gib)[:4]
            listed = ", ".join(f"{held.what} {held.gib:.1f}" for held in largest)
            lines.append(
                f"{card.who}{of} needs {card.peak:.1f} GiB ({card.fullest}: {listed}, …); {1 - FREE:.0%} of the "
                f"{card.gib:g} GiB of a GPU can be used"
            )
    if any(held.what.startswith("vLLM") for card in found for held in card.held):
        lines += _rollout_shortage(config, found[0].gib)
    return lines


def _rollout_shortage(config: RunConfig, gib: float) -> list[str]:
    least, share = rollout_gib(config), config.rollout.gpu_memory_utilization
    if least > LARGEST_SHARE * gib:
        return [
            f"a rollout engine needs {least:.1f} GiB for weights, work space and one sequence of "
            f"{config.model.max_length} tokens, and it is not cut over GPUs: take GPUs of {least / LARGEST_SHARE:.0f} "
            f"GiB or more, a smaller model, or only stages that do not sample"
        ]
    if least > share * gib:
        return [
            f"a rollout engine needs {least:.1f} GiB, more than rollout.gpu_memory_utilization={share:g} of {gib:g} "
            f"GiB; set it to {min(LARGEST_SHARE, math.ceil(20 * least / gib) / 20):g} or more"
        ]
    return []
