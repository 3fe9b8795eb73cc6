"""An output layer that returns log-probs and entropies of given targets instead of logits.

Logits over the whole vocabulary exist for one slice of the tokens at a time, forward and backward. With a vocabulary of
150,000, 4,096 tokens and fp32 they would take 2.3 GiB, and several times that in the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SLICE_BYTES = {"cpu": 64 * 2**20, "cuda": 256 * 2**20}
"""Most logits that exist at once, by kind of device (bytes of fp32): a GPU needs more rows to be busy."""


class _LogProbs(torch.autograd.Function):
    """(hidden [S, d], weight [V, d], targets [S]) to log-probs and entropies [S], both differentiable.

    With p the softmax of z = h·Wᵀ/T: dlog p_y/dz = 1[y] − p, and dH/dz = −p (log p + H). Logits are computed again in
    the backward pass, unless one slice holds all of them.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, size: int
    ) -> tuple[Tensor, Tensor]:
        log_probs = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        entropy, normaliser = torch.empty_like(log_probs), torch.empty_like(log_probs)
        kept = None
        for part in _slices(len(targets), size):
            logits = _logits(hidden[part], weight, temperature)
            normaliser[part] = torch.logsumexp(logits, dim=-1)
            log_probs[part] = logits.gather(-1, targets[part, None])[:, 0] - normaliser[part]
            kept = logits.sub_(normaliser[part, None])
            entropy[part] = -(kept.exp().mul_(kept)).sum(-1)
        single = len(targets) <= size and any(ctx.needs_input_grad)
        ctx.save_for_backward(hidden, weight, targets, normaliser, entropy, kept if single else None)
        ctx.temperature, ctx.size = temperature, size
        return log_probs, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        for_log_probs, for_entropy = gradients
        hidden, weight, targets, normaliser, entropy, kept = ctx.saved_tensors
        with_entropy = bool(for_entropy.any())
        to_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        # In bf16 the sum over slices would lose the contributions of the later ones.
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for part in _slices(len(targets), ctx.size):
            log_p = kept
            if log_p is None:
                log_p = _logits(hidden[part], weight, ctx.temperature).sub_(normaliser[part, None])
            p = log_p.exp()
            slope = for_log_probs[part, None]
            if with_entropy:
                to_logits = -p * (slope + for_entropy[part, None] * (log_p + entropy[part, None]))
            else:
                to_logits = p.mul_(-slope)
            to_logits.scatter_add_(-1, targets[part, None], slope)
            to_logits = (to_logits / ctx.temperature if ctx.temperature != 1 else to_logits).to(hidden.dtype)
            if to_hidden is not None:
                to_hidden[part] = to_logits @ weight
            if to_weight is not None:
                if weight.dtype == torch.float32:
                    to_weight.addmm_(to_logits.T, hidden[part])
                else:
                    to_weight += to_logits.T @ hidden[part]
        return to_hidden, None if to_weight is None else to_weight.to(weight.dtype), None, None, None


def _slices(tokens: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, tokens)) for start in range(0, tokens, size)]


def _logits(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight).float()
    return logits.div_(temperature) if temperature != 1 else logits


def log_probs_and_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float = 1.0, slice_bytes: int | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probs of the targets and entropies (float32 [S], nats) under softmax(hidden · weightᵀ / temperature).

    Args:
        hidden: [S, d].
        weight: [V, d].
        targets: int64 [S].
        temperature: divides the logits.
        slice_bytes: most bytes of logits that exist at once (default: :data:`SLICE_BYTES`).
    """
    size = max(1, (slice_bytes or SLICE_BYTES[weight.device.type]) // (4 * weight.shape[0]))
    found: tuple[Tensor, Tensor] = _LogProbs.apply(hidden, weight, targets, temperature, size)
    return found


class LogProbHead:
    """Replaces an output layer: from hidden states [1, U, d], one of which may predict several targets, it returns
    [1, S, 2], log-prob and entropy of each target."""

    targets: Tensor
    source_of: Tensor
    temperature: float = 1.0

    def __init__(self, layer: torch.nn.Linear) -> None:
        self.layer = layer

    def __call__(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            weight = self.layer.weight
            of_targets = hidden[0].to(weight.dtype).index_select(0, self.source_of)
            found = log_probs_and_entropy(of_targets, weight, self.targets, self.temperature)
        return torch.stack([values[None] for values in found], dim=-1)


def install(model: torch.nn.Module) -> LogProbHead:
    """Replace the output layer of a Hugging Face causal language model.

    Raises:
        ValueError: if the layer has a bias.
    """
    layer = model.get_output_embeddings()
    if layer.bias is not None:
        raise ValueError(f"models with a bias in their output layer ({model.config.model_type}) can't be trained")
    head = LogProbHead(layer)
    layer.forward = head.__call__
    return head
