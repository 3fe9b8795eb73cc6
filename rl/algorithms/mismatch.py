"""Correction for tokens that one engine sampled and another trains on.

vLLM and the trainer compute the same policy with other kernels (and with stale weights, if rollouts run ahead), so the
sampler's distribution μ is not quite the trainer's π. Each token is weighted by an importance ratio of π over μ: of the
token itself, of its whole sequence (the product), or the geometric mean of the sequence. ``truncate`` bounds the ratio
from above (TIS, Yao et al. 2025); ``mask`` drops what lies outside [1/threshold, threshold] (IcePop, Ant Group 2025;
with sequence ratios, Liu et al. 2025).
"""

import torch
from torch import Tensor

from rl.config.algorithm import MismatchConfig

LARGEST = 20.0
"""Log-ratios are cut here, as verl cuts them, so that a product over a long sequence stays finite."""


def correction(config: MismatchConfig | None, log_ratio: Tensor, mask: Tensor) -> Tensor | None:
    """Weight of every token (float [N, L], without gradient); None when no correction is asked for.

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
