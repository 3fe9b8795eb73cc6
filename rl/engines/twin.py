"""A small model of an architecture, to test whether the trainer computes the architecture exactly.

This depends on the model's code: attention must go through transformers' interface, nothing else may mix tokens, and
the output layer must give the logits. So the architecture is built with small sizes and random weights. Its log-probs
with the trainer's attention, layout and output layer, in training mode, are compared in fp32 with those that
transformers computes for each sequence alone. This takes a second, and works for architectures that no list names.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from rl.errors import UserError
from rl.models.noise import silence
from rl.samples import TokenBatch, packed_batch, supervised_batch

SIZES = {
    "vocab_size": 128,
    "vocab_size_per_layer_input": 128,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "head_dim": 16,
    "q_lora_rank": 32,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "v_head_dim": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_k": 2,
    "moe_topk": 2,
    "moe_intermediate_size": 48,
    "shared_expert_intermediate_size": 48,
    "moe_shared_expert_intermediate_size": 48,
    "shared_intermediate_size": 48,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
"""Largest value of each setting in a twin."""
LAYERS = 4
"""Layers of a twin, or as many as it takes to have one of every kind."""
SMALL, LARGE = 10_000_000, 50_000_000
"""A model with at most so many parameters is its own twin; a twin with more than so many is refused."""
LONG = 640
"""Tokens of the longest sequence that is tried (at most ``model.max_length``): attention windows and scaled positions
often make no difference on short sequences."""
WINDOW = 96
"""A sliding window that ``model.max_length`` exceeds is made so short that the longest sequence exceeds it, too."""
LIMIT = 2e-4
"""Largest difference of log-probs that fp32 rounding explains (nats)."""


def require_exact(config: Any, max_length: int, trust_remote_code: bool = False) -> None:
    """Try a small model of an architecture.

    Raises:
        UserError: if the trainer's log-probs differ from those of transformers, or if it can't be tried.
    """
    import torch

    name = config.model_type
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            model = _build(_windowed(config, max_length), trust_remote_code)
            _require_parts(model, name)
            found = _differences(model, max_length)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"models of type {name} can't be trained: a small random model fails with "
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            ) from error
    reasons = {
        "alone": "their layers compute something that the trainer's attention or output layer does not",
        "together": "layers other than attention mix tokens, so sequences in one row would see each other",
        "training": "they compute something different in training than in evaluation",
    }
    for kind, difference in found.items():
        if not difference < LIMIT:
            raise UserError(
                f"models of type {name} can't be trained: {reasons[kind]} (log-probs of a small random model differ by "
                f"{difference:.2g})"
            )


def _windowed(config: Any, max_length: int) -> Any:
    window = getattr(config, "sliding_window", None)
    if not isinstance(window, int) or not WINDOW < window < max_length:
        return config
    short = copy.deepcopy(config)
    short.sliding_window = WINDOW
    return short


def twin(config: Any) -> Any:
    """A configuration of the same architecture with small sizes."""
    small = copy.deepcopy(config)
    heads, kv_heads = getattr(config, "num_attention_heads", None), getattr(config, "num_key_value_heads", None)
    for name, size in SIZES.items():
        value = getattr(small, name, None)
        if isinstance(value, list):  # one value per layer
            setattr(small, name, [min(each, size) for each in value])
        elif isinstance(value, int) and not isinstance(value, bool) and value > size:
            setattr(small, name, size)
    if kv_heads is not None:
        small.num_key_value_heads = small.num_attention_heads if kv_heads == heads else min(kv_heads, 2)
    if getattr(small, "qk_head_dim", None):
        small.qk_head_dim = small.qk_nope_head_dim + small.qk_rope_head_dim
    if (getattr(small, "pad_token_id", None) or 0) >= small.vocab_size:
        small.pad_token_id = 0
    _fewer_layers(small)
    _fewer_frequencies(small)
    return small


def _fewer_layers(config: Any) -> None:
    count = getattr(config, "num_hidden_layers", None)
    if not count:
        return
    kinds = [value for name, value in vars(config).items() if name.endswith("layer_types") and value]
    fewer = max([LAYERS, *(list(k).index(kind) + 1 for k in kinds for kind in set(k))])
    if fewer >= count:
        return
    for name, value in list(vars(config).items()):
        if isinstance(value, list | tuple) and len(value) == count:
            setattr(config, name, value[:fewer])
    config.num_hidden_layers = fewer


def _fewer_frequencies(config: Any) -> None:
    """Scaled positions may have one factor per frequency of a head."""
    ropes = getattr(config, "rope_parameters", None) or {}
    for rope in (ropes, *ropes.values()):
        if isinstance(rope, dict) and rope.get("long_factor"):
            size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
            half = int(size * rope.get("partial_rotary_factor", 1.0)) // 2
            rope |= {name: rope[name][:half] for name in ("short_factor", "long_factor")}


def _build(config: Any, trust_remote_code: bool) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    def make(some: Any) -> Any:
        # Eager attention supports everything that a model may need.
        options = {"attn_implementation": "eager", "trust_remote_code": trust_remote_code}
        return AutoModelForCausalLM.from_config(copy.deepcopy(some), **options)

    def count(some: Any) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in make(some).parameters())

    if count(config) > SMALL:
        config = twin(config)
        if count(config) > LARGE:
            raise ValueError("it can't be made small")
    model = make(config).float()
    with torch.no_grad():  # parameters that start at zero or one would hide their effect
        for parameter in model.parameters():
            parameter.nan_to_num_().add_(torch.randn_like(parameter), alpha=0.1)
    return model


def _require_parts(model: Any, name: str) -> None:
    if not model._can_set_attn_implementation():
        raise UserError(
            f"models of type {name} can't be trained: their attention does not use the interface of transformers by "
            f"which the trainer keeps sequences apart"
        )
    layer = model.get_output_embeddings()
    if layer is None or getattr(layer, "bias", None) is not None:
        what = "no output layer" if layer is None else "a bias in their output layer"
        raise UserError(f"models of type {name} can't be trained: they have {what}, so log-probs would be wrong")
    if any(parameter.endswith("sinks") for parameter, _ in model.named_parameters()):
        raise UserError(
            f"models of type {name} can't be trained: their attention has sinks, which the trainer's does not"
        )


def _differences(model: Any, max_length: int) -> dict[str, float]:
    """Largest differences of log-probs: of a sequence alone, of sequences that share a row or a prompt, and between
    training and evaluation mode."""
    import torch

    from rl.engines import attention, head, layout

    numbers = torch.Generator().manual_seed(0)

    def document(length: int) -> list[int]:
        return torch.randint(model.config.vocab_size, (length,), generator=numbers).tolist()

    prompt, answers, packed = document(9), [document(7), document(4)], [document(11), document(8)]
    long = document(min(LONG, max_length))
    sequences = [long, *(prompt + answer for answer in answers), *packed]
    model.eval()
    with torch.no_grad():
        expected = [_log_probs(model, ids) for ids in sequences]
    attention.install(model)
    replaced = head.install(model)
    silence(model)

    def compute(batch: TokenBatch) -> np.ndarray:
        micro = layout.gather(batch, range(len(batch)), torch.device("cpu"))
        replaced.targets, replaced.source_of = micro.targets, micro.source_of
        with torch.no_grad():
            logits = model(
                input_ids=micro.input_ids,
                position_ids=micro.position_ids,
                logits_to_keep=micro.sources,
                spans=micro.spans,
                use_cache=False,
            ).logits
        return logits[0, :, 0].numpy()

    group = supervised_batch([(prompt + answer, len(prompt)) for answer in answers])
    group = replace(group, groups=np.zeros(2, dtype=np.int64), prompt_lengths=np.full(2, len(prompt)))
    row = packed_batch([packed[0] + packed[1]], [[0] * len(packed[0]) + [1] * len(packed[1])])
    batches = [supervised_batch([(long, 1)]), group, row]
    evaluation = [compute(batch) for batch in batches]
    model.train()
    training = [compute(batch) for batch in batches]
    wanted = [
        expected[0],
        np.concatenate([found[len(prompt) - 1 :] for found in expected[1:3]]),
        np.concatenate(expected[3:]),
    ]
    return {
        "alone": _largest(evaluation[:1], wanted[:1]),
        "together": _largest(evaluation[1:], wanted[1:]),
        "training": _largest(training, evaluation),
    }


def _largest(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))


def _log_probs(model: Any, ids: list[int]) -> np.ndarray:
    import torch

    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
    found: np.ndarray = logits.float().log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()
    return found
