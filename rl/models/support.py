"""Which models the trainer can compute exactly. What it can't is refused by name before anything starts."""

from __future__ import annotations

from typing import Any

from rl.errors import UserError

CHANGES_LOGITS = ("final_logit_softcapping", "attn_logit_softcapping", "logits_scaling", "logit_scale")
"""Settings by which a model changes logits in ways that our attention and output layer do not follow."""


def require_supported(config: Any, max_length: int) -> None:
    """Check a Hugging Face model configuration.

    Raises:
        UserError: if log-probs would be wrong: changed logits, or positions or an attention window short of
            ``max_length``.
    """
    for name in CHANGES_LOGITS:
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise UserError(f"models with {name} ({config.model_type}) can't be trained: log-probs would be wrong")
    longest = getattr(config, "max_position_embeddings", None)
    if longest and longest < max_length:
        raise UserError(
            f"this model ({config.model_type}) knows positions up to {longest}, less than "
            f"model.max_length={max_length}; lower model.max_length to {longest}"
        )
    window = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None)
    slides = "sliding_attention" in layers if layers else getattr(config, "use_sliding_window", True)
    if window and slides and window < max_length:
        raise UserError(
            f"this model ({config.model_type}) attends within a window of {window} tokens, less than "
            f"model.max_length={max_length}; lower model.max_length to {window}"
        )
