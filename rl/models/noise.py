"""Noise that models add in training. A policy must give tokens the probability that the sampler drew them with."""

from __future__ import annotations

from typing import Any

import torch

WORDS = ("drop", "jitter")
"""Parts of the names of such settings: attention_dropout, resid_pdrop, layerdrop, drop_prob, router_jitter_noise…"""


def silence(model: torch.nn.Module) -> None:
    """Switch off dropout, dropped layers and router jitter, in the modules and in the configuration that they read."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
        _zero(module)
        config = getattr(module, "config", None)
        if config is not None:
            _zero(config)


def _zero(holder: Any) -> None:
    for name, value in list(vars(holder).items()):
        if isinstance(value, float) and any(word in name for word in WORDS):
            setattr(holder, name, 0.0)
