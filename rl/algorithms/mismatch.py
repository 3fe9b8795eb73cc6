"""Correction for the difference between the engine that samples and the engine that trains.

vLLM and the trainer compute the same policy with different kernels (and with stale weights, if rollouts run ahead), so
the sampler's distribution μ differs a little from the trainer's π. Each token is weighted by an importance ratio π/μ:
of the token itself, of its whole sequence (the product), or the geometric mean of the sequence. ``truncate`` limits
the ratio from above (TIS, Yao et al. 2025); ``mask`` drops tokens whose ratio is outside [1/threshold, threshold]
(IcePop, Ant Group 2025; with sequence ratios, Liu et al. 2025).
"""

import torch
from torch import Tensor

from rl.config.algorithm import MismatchConfig

LARGEST = 20.0
"""Log-ratios are clamped to ±20, as in verl, so that the product over a long sequence stays finite."""


def correction(config: MismatchConfig | None, log_ratio: Tensor, mask: Tensor) -> Tensor | None:
    """Weight of every token (float [N, L], without gradient); None without a configuration.

    Args:
        config: level, mode and threshold.
        log_ratio: log π − log μ of every token, [N, L].
        mask: 1 on targets, [N, L].
    """
    if config is None:
        return None
    log_ratio = log_ratio.detach() * mask
    if config.level != "token":
        log_ratio = log_ratio.sum(dim=-1, keepdim=True)
        if config.level == "geometric":
            log_ratio = log_ratio / mask.sum(dim=-1, keepdim=True).clamp(min=1)
    ratio = log_ratio.clamp(-LARGEST, LARGEST).exp()
    if config.mode == "truncate":
        return ratio.clamp(max=config.threshold).expand_as(mask)
    inside = (ratio >= 1 / config.threshold) & (ratio <= config.threshold)
    return torch.where(inside, ratio, 0.0).expand_as(mask)
