"""Losses as pure functions of one micro-batch that return sums.

A sum is divided by the tokens or sequences of the *whole* batch. This number is known at the end, when the engine
scales the gradient once. So loss and gradient do not depend on micro-batches, on the number of ranks, or on whether
the groups came together or one by one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from rl.algorithms.mismatch import correction
from rl.algorithms.verl_bridge import aggregate, kl_divergence, verl_policy_loss
from rl.config.algorithm import AlgorithmConfig


@dataclass(frozen=True)
class LossSums:
    """The contribution of one micro-batch to its batch."""

    total: Tensor
    """The sum to call ``backward`` on."""
    terms: dict[str, Tensor] = field(default_factory=dict)
    """Parts of the loss: sums, divided like the loss."""
    per_token: dict[str, Tensor] = field(default_factory=dict)
    """Sums over tokens, divided by the number of tokens."""
    largest: dict[str, Tensor] = field(default_factory=dict)
    """Values of which the batch keeps the largest."""
    log_ratios: Tensor | None = None
    """Log-prob of the trainer minus that of the sampler for every target, for percentiles."""


@dataclass(frozen=True)
class Loss:
    """A loss and the divisor of its sum."""

    function: Callable[[Tensor, Tensor, Tensor, dict[str, Tensor]], LossSums]
    """(log_probs, entropy, mask and fields, each [N, L]) -> sums."""
    per: Literal["tokens", "sequences"] = "tokens"
    wants_entropy_gradient: bool = False
    """Whether the loss has an entropy term."""


def _next_token(log_probs: Tensor, entropy: Tensor, mask: Tensor, fields: dict[str, Tensor]) -> LossSums:
    nll = -(log_probs * mask).sum()
    return LossSums(nll, {"loss": nll.detach()})


next_token_loss = Loss(_next_token)
"""Mean negative log-likelihood of the targets (nats a token)."""


def policy_loss(algorithm: AlgorithmConfig, *, max_completion_tokens: int) -> Loss:
    """The policy-gradient loss, with the KL term and the entropy bonus when their coefficients are above 0.

    The fields are ``advantages``, ``rollout_log_probs`` (the sampler's own) and, where the algorithm needs them,
    ``ref_log_probs`` and ``old_log_probs``.

    ``old`` is the denominator of the ratio: the sampler's log-probs, or with ``old_log_probs=recompute`` the trainer's
    own before the first update of the step. In that first update the ratio is 1 and only its gradient counts.

    Args:
        algorithm: names loss, aggregation and coefficients.
        max_completion_tokens: longest completion that sampling allows; ``seq-mean-token-sum-norm`` divides by it
            (Dr. GRPO's constant).
    """

    def function(log_probs: Tensor, entropy: Tensor, mask: Tensor, fields: dict[str, Tensor]) -> LossSums:
        sampler = fields["rollout_log_probs"]
        recomputed = algorithm.old_log_probs == "recompute"
        old = fields.get("old_log_probs", log_probs.detach()) if recomputed else sampler
        weights = correction(algorithm.mismatch, old - sampler, mask)
        constant = {"max_completion_tokens": max_completion_tokens}
        loss, clipped = verl_policy_loss(algorithm, old, log_probs, fields["advantages"], mask, weights, **constant)
        terms = {"policy_loss": loss.detach()}
        log_ratio = (log_probs.detach() - sampler) * mask
        per_token = {
            "ratio": ((log_probs.detach() - old).exp() * mask).sum(),
            # Ratio of a token's probabilities under trainer and sampler, the larger over the smaller.
            "token_mult_prob_error": (log_ratio.abs().exp() * mask).sum(),
            "mismatch_kl": ((log_ratio.expm1() - log_ratio) * mask).sum(),
            "entropy": (entropy.detach() * mask).sum(),
            **clipped,
        }
        if weights is not None:
            per_token["correction"] = (weights * mask).sum()
        if algorithm.kl_coef > 0 and algorithm.kl_in == "loss":
            divergence = kl_divergence(log_probs, fields["ref_log_probs"], algorithm.kl_estimator)
            kl = aggregate(divergence, mask, algorithm.aggregation, **constant)
            loss, terms["kl"] = loss + algorithm.kl_coef * kl, kl.detach()
        if algorithm.entropy_coef > 0:
            loss = loss - algorithm.entropy_coef * aggregate(entropy, mask, algorithm.aggregation, **constant)
        terms["loss"] = loss.detach()
        largest = {"log_prob_difference": log_ratio.abs().max()}
        return LossSums(loss, terms, per_token, largest, log_ratio[mask.bool()])

    per: Literal["tokens", "sequences"] = "tokens" if algorithm.aggregation == "token-mean" else "sequences"
    return Loss(function, per, algorithm.entropy_coef > 0)
