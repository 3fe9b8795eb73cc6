"""Sizes of published models, so that a run of theirs is checked and planned where their config.json is not at hand.

What is on this machine wins over this table. The tests hold it against transformers' classes and the published numbers
of weights.
"""

from __future__ import annotations

from typing import Any


def _qwen3(layers: int, hidden: int, heads: int, intermediate: int, tied: bool) -> dict[str, Any]:
    return _dense("qwen3", layers, hidden, heads, 8, intermediate, 151_936, tied) | {"head_dim": 128}


def _dense(
    kind: str, layers: int, hidden: int, heads: int, kv_heads: int, intermediate: int, vocabulary: int, tied: bool
) -> dict[str, Any]:
    return {
        "model_type": kind,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
    }


_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_SIZES = {
    "0.6B": _qwen3(28, 1024, 16, 3072, tied=True),
    "1.7B": _qwen3(28, 2048, 16, 6144, tied=True),
    "4B": _qwen3(36, 2560, 32, 9728, tied=True),
    "8B": _qwen3(36, 4096, 32, 12_288, tied=False),
    "14B": _qwen3(40, 5120, 40, 17_408, tied=False),
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    **{f"Qwen/Qwen3-{size}": values for size, values in _SIZES.items()},
    **{f"Qwen/Qwen3-{size}-Base": values for size, values in _SIZES.items()},
    "Qwen/Qwen3-32B": _qwen3(64, 5120, 64, 25_600, tied=False),
    "Qwen/Qwen2.5-7B-Instruct": _dense("qwen2", 28, 3584, 28, 4, 18_944, 152_064, tied=False),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": _dense("qwen2", 48, 5120, 40, 8, 13_824, 152_064, tied=False),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": _dense("qwen2", 64, 5120, 40, 8, 27_648, 152_064, tied=False),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B": {
        **_dense("llama", 80, 8192, 64, 8, 28_672, 128_256, tied=False),
        "rope_scaling": _LLAMA3_ROPE,
    },
}
"""Hub name to what its config.json holds, as far as sizes and the engines' checks ask for it."""
