"""How the megatron engine cuts a model over ranks: the model's sizes, and which cuts are possible."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rl.config.experts import expert_problems, experts_of, states_experts
from rl.config.published import ARCHITECTURES
from rl.config.schema import ModelConfig, NanoConfig, RunConfig, TrainerConfig
from rl.errors import UserError

FAMILIES = ("qwen3", "qwen3_moe", "qwen2", "llama")
"""Model types whose weights and layers are known to the megatron engine."""
_SHAPED = (*FAMILIES, "gemma3_text")
"""Model types whose weights are counted from their sizes."""
_TIED = ("gemma3_text",)
"""Model types whose two embeddings are one where config.json does not say."""

_SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
)
_DERIVED = {"llama": ("num_key_value_heads", "head_dim"), "qwen2": ("head_dim",)}
"""Sizes that follow from the others where config.json has none. For all others transformers has a fixed number."""

MEGATRON_KEYS = (
    "tensor_parallel",
    "pipeline_parallel",
    "expert_parallel",
    "context_parallel",
    "sequence_parallel",
    "recompute",
    "distributed_optimizer",
    "kernels",
)
"""Keys of the trainer that the FSDP2 engine does not have."""


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    extra_per_layer: int = 0
    """Weights of a layer beside its matrices and its two norms: norms of queries and keys, biases."""
    experts: int = 0
    """Experts of each mixture."""
    experts_per_token: int = 0
    expert_width: int = 0
    """Width of the feed-forward network of one expert."""
    mixtures: frozenset[int] = frozenset()
    """Layers, from 0, with experts in place of one feed-forward network."""
    qk_norm: bool = False
    """Whether queries and keys have norms."""

    @property
    def parameters(self) -> int:
        """Weights of the whole model."""
        layer = self.layer + 2 * self.hidden + self.extra_per_layer
        mixture = self.experts * (self.expert + self.hidden) - 3 * self.hidden * self.intermediate
        return (
            self.layers * layer + len(self.mixtures) * mixture + self.hidden + self.embedding * (1 if self.tied else 2)
        )

    @property
    def layer(self) -> int:
        """Weights of the matrices of one layer without experts."""
        return self.hidden * (self.head_dim * (2 * self.heads + 2 * self.kv_heads) + 3 * self.intermediate)

    @property
    def expert(self) -> int:
        """Weights of one expert."""
        return 3 * self.hidden * self.expert_width

    @property
    def embedding(self) -> int:
        """Weights of one embedding matrix."""
        return self.vocabulary * self.hidden


def nano_shape(nano: NanoConfig) -> ModelShape:
    """The shape of the nano model, a Qwen3."""
    return ModelShape(
        nano.layers,
        nano.hidden_size,
        nano.heads,
        nano.kv_heads,
        nano.head_dim,
        nano.intermediate_size,
        nano.vocab_size,
        nano.tie_embeddings,
        2 * nano.head_dim,
        qk_norm=True,
    )


def shape_of(values: Mapping[str, Any]) -> ModelShape | None:
    """The shape of a model from what its config.json holds.

    None if it is of another type than those counted here, or leaves sizes to transformers, which knows them when it is
    loaded.
    """
    if not _states_sizes(values):
        return None
    heads = values["num_attention_heads"]
    kv_heads = values.get("num_key_value_heads") or heads
    head_dim = values.get("head_dim") or values["hidden_size"] // heads
    kind, norms = values["model_type"], 2 * head_dim
    extra = {
        "qwen3": norms,
        "qwen3_moe": norms,
        "qwen2": (heads + 2 * kv_heads) * head_dim,
        "gemma3_text": norms + 2 * values["hidden_size"],  # a norm after attention, and one after the feed-forward
    }
    return ModelShape(
        values["num_hidden_layers"],
        values["hidden_size"],
        heads,
        kv_heads,
        head_dim,
        values["intermediate_size"],
        values["vocab_size"],
        bool(values.get("tie_word_embeddings", kind in _TIED)),
        extra.get(kind, 0),
        qk_norm=kind.startswith(("qwen3", "gemma3")),
        **experts_of(values),
    )


def _states_sizes(values: Mapping[str, Any]) -> bool:
    kind = values.get("model_type")
    if kind not in _SHAPED:
        return False
    derived = _DERIVED.get(kind, ())
    sizes = {key: values.get(key) for key in _SIZES}
    return states_experts(values) and all(
        key in derived if size is None else isinstance(size, int) and size > 0 for key, size in sizes.items()
    )


def model_shape(model: ModelConfig) -> ModelShape | None:
    """The shape of a run's model; None if its config.json is not at hand, or see :func:`shape_of`."""
    if model.path is None:
        return nano_shape(model.nano)
    values = architecture(model)
    return None if values is None else shape_of(values)


def parameter_count(model: ModelConfig) -> int | None:
    """Weights of the model, by its shape or by the headers of its files; None where neither is at hand."""
    shape = model_shape(model)
    return _stored(model.path or "") if shape is None else shape.parameters


def _stored(path: str) -> int | None:
    """Weights in the safetensors files of a folder, of which only the headers are read; None without any."""
    from safetensors import SafetensorError, safe_open

    total = 0
    try:
        for file in Path(path).expanduser().glob("*.safetensors"):
            with safe_open(file, "np") as weights:
                total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    except (OSError, SafetensorError):  # reported where the model is loaded
        return None
    return total or None


def architecture(model: ModelConfig) -> dict[str, Any] | None:
    """What config.json of a model holds: on this machine, in a folder or the cache of the hub, else as published."""
    if model.path is None:
        return None
    return _on_this_machine(model.path) or ARCHITECTURES.get(model.path)


def _on_this_machine(path: str) -> dict[str, Any] | None:
    file: Any = Path(path).expanduser() / "config.json"
    if not file.parent.is_dir():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            file = try_to_load_from_cache(path, "config.json")
        except HFValidationError:
            return None
    if not isinstance(file, str | Path) or not Path(file).is_file():
        return None
    try:
        values = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError:  # reported where the model is loaded
        return None
    return values if isinstance(values, dict) else None


def problems(config: RunConfig) -> list[str]:
    """Why a run's trainer can't cut its model as configured; nothing of a model that is not on this machine."""
    trainer = config.trainer
    if trainer.engine == "fsdp":
        return _only_megatron(trainer)
    found = []
    if find_spec("megatron") is None or find_spec("megatron.core") is None:
        found.append("trainer.engine=megatron needs the package megatron-core; install it, or use trainer=fsdp")
    if config.model.lora_rank:
        found.append("trainer.engine=megatron trains no LoRA adapter; set model.lora_rank=0, or use trainer=fsdp")
    if trainer.offload_optimizer:
        found.append("trainer.offload_optimizer needs trainer=fsdp; megatron keeps the optimizer where the weights are")
    if trainer.kernels == "transformer_engine" and (trainer.device == "cpu" or find_spec("transformer_engine") is None):
        found.append(
            "trainer.kernels=transformer_engine needs a GPU and the package transformer_engine; install it, or use "
            "trainer.kernels=auto"
        )
    if trainer.sequence_parallel and trainer.tensor_parallel == 1:
        found.append("trainer.sequence_parallel needs trainer.tensor_parallel of at least 2")
    values = architecture(config.model)
    if values is not None and (reason := _unsupported(values)):
        return [*found, reason]
    return found + _layout_problems(trainer, model_shape(config.model))


def require_possible(trainer: TrainerConfig, values: Mapping[str, Any]) -> None:
    """Check a trainer against what config.json of its model holds, when that is known at last.

    Raises:
        UserError: one line for each problem.
    """
    if trainer.engine == "megatron":
        reason = _unsupported(values)
        found = [reason] if reason else _layout_problems(trainer, shape_of(values))
        if found:
            raise UserError("this configuration can't work:\n  " + "\n  ".join(found))


def _only_megatron(trainer: TrainerConfig) -> list[str]:
    default = TrainerConfig()
    return [
        f"trainer.{key}={getattr(trainer, key)} needs trainer=megatron; the FSDP2 engine cuts weights, gradients and "
        f"optimizer over all trainer.world_size ranks"
        for key in MEGATRON_KEYS
        if getattr(trainer, key) != getattr(default, key)
    ]


def _unsupported(values: Mapping[str, Any]) -> str:
    kind = values.get("model_type")
    if kind is None:  # reported where the model is loaded
        return ""
    if kind not in FAMILIES:
        return f"trainer.engine=megatron trains {', '.join(FAMILIES)} models, and this is {kind}; use trainer=fsdp"
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):  # reported where the model is loaded
        rope = {}
    rope_type = rope.get("rope_type") or rope.get("type") or "default"
    reasons = {
        "a bias in its attention": bool(values.get("attention_bias")),
        "a bias in its feed-forward layers": bool(values.get("mlp_bias")),
        f"the activation {values.get('hidden_act')}": values.get("hidden_act", "silu") != "silu",
        f"{rope_type} rope": rope_type not in ("default", "linear", "llama3"),
    }
    has = [reason for reason, true in reasons.items() if true]
    if has:
        return f"this {kind} model has {' and '.join(has)}, which trainer.engine=megatron does not; use trainer=fsdp"
    return ""


def _layout_problems(trainer: TrainerConfig, shape: ModelShape | None) -> list[str]:
    ranks, cuts = trainer.world_size, {"tensor": trainer.tensor_parallel, "pipeline": trainer.pipeline_parallel}
    found = _cut_problems(shape, *cuts.values())
    if trainer.context_parallel > 1:
        cuts["context"] = trainer.context_parallel
    copy = math.prod(cuts.values())
    if not found and ranks % copy == 0:
        return expert_problems(trainer, shape.experts if shape else None)
    if ranks % copy:
        product = " x ".join(f"{way}_parallel" for way in cuts)
        found.append(
            f"trainer.world_size={ranks} is not a multiple of {product} = {' x '.join(map(str, cuts.values()))}"
        )
    advice = (
        f"layouts ({' x '.join(cuts)} x data parallel) that work with {ranks} rank{'s' * (ranks > 1)}: "
        f"{_possible(shape, ranks, cuts.get('context'))}"
    )
    if ranks % copy:
        advice += f"; or set trainer.world_size={-(-ranks // copy) * copy}"
    if shape is not None:
        tensors = _divisors(shape.heads, lambda n: not _cut_problems(shape, n, 1))
        stages = _divisors(shape.layers, lambda n: not _cut_problems(shape, 1, n))
        advice += f"; in general tensor_parallel can be {tensors} and pipeline_parallel {stages}"
    return [*found[:-1], f"{found[-1]}; {advice}"]


def _possible(shape: ModelShape | None, ranks: int, context: int | None) -> str:
    """Layouts of so many ranks: tensor x pipeline x data parallel; with the largest possible part of ``context`` before
    data parallel, if it is given."""
    part = math.gcd(ranks, context or 1)
    there, of = f"{part} x " if context else "", ranks // part
    return ", ".join(
        f"{t} x {p} x {there}{of // (t * p)}"
        for t in range(1, of + 1)
        for p in range(1, of // t + 1)
        if of % (t * p) == 0 and not _cut_problems(shape, t, p)
    )


def _divisors(size: int, fits: Callable[[int], bool]) -> str:
    return ", ".join(str(n) for n in range(1, size + 1) if size % n == 0 and fits(n))


def _cut_problems(shape: ModelShape | None, tensor: int, pipeline: int) -> list[str]:
    if shape is None:
        return []
    sizes = {
        "query heads": shape.heads,
        "key-value heads": shape.kv_heads,
        "tokens in its vocabulary": shape.vocabulary,
    }
    if len(shape.mixtures) < shape.layers:
        sizes["columns of its feed-forward layer"] = shape.intermediate
    found = [
        f"trainer.tensor_parallel={tensor} does not divide the model's {size} {what}"
        for what, size in sizes.items()
        if size % tensor
    ]
    if shape.layers % pipeline:
        found.append(f"trainer.pipeline_parallel={pipeline} does not divide the model's {shape.layers} layers")
    return found
