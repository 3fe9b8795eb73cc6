"""How long a step takes on GPUs, from measured and published figures with their sources."""

from __future__ import annotations

PEAK_FLOPS = 989e12
"""Dense bf16 operations a second of an H100 or H200."""
TRAINING = (
    (0.151, "Themis, SFT at 1.7 B weights on one H200, docs/gpu.md"),
    (0.28, "torchtitan, Llama 3 8 B on 8 H100 with FSDP2, eager: 5,800 tokens a second and GPU"),
)
"""Shares of the peak that FSDP2 reaches, counted as 6 operations a weight and token: the lower and the upper end."""
SAMPLING = (13_300 * 8.19e9, "vLLM, Qwen3-8B in bf16 on one H100: 13,300 tokens a second with 396 users")
"""Tokens a second times weights: other sizes are taken to be slower in proportion."""


def training_seconds(tokens: float, parameters: int, gpus: int) -> tuple[float, float]:
    """From the fastest to the slowest time of forward and backward over so many tokens with FSDP2."""
    slowest, fastest = (6 * parameters * tokens / (gpus * share * PEAK_FLOPS) for share, _ in TRAINING)
    return fastest, slowest


def sampling_seconds(tokens: float, parameters: int, engines: int) -> float:
    """Time in which so many tokens are sampled by so many engines, each on one GPU."""
    return tokens * parameters / (SAMPLING[0] * engines)
