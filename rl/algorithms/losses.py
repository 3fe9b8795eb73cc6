"""Losses as pure functions of one micro-batch, that return sums.

What a sum is divided by, tokens or sequences of the *whole* batch, is known only when all of it has been seen: the
engine scales the gradient once, at the end. So loss and gradient do not depend on how the batch was cut, over how many
ranks, or on whether it came at once or group by group.
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
    """What one micro-batch adds to a batch."""

    total: Tensor
    """The sum to call ``backward`` on."""
    terms: dict[str, Tensor] = field(default_factory=dict)
    """Parts of the loss: sums, divided as the loss is."""
    per_token: dict[str, Tensor] = field(default_factory=dict)
    """Sums over tokens, divided by the number of tokens."""
    largest: dict[str, Tensor] = field(default_factory=dict)
    """Values of which the batch has the largest."""
    log_ratios: Tensor | None = None
    """Trainer's log-prob less the sampler's, of every target, for percentiles."""


@dataclass(frozen=True)
class Loss:
    """A loss and what its sum is divided by."""

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


def policy_loss(algorithm: AlgorithmConfig, horizon: int) -> Loss:
    """The policy-gradient loss, with the KL term and the entropy bonus when their coefficients are above 0.

    The fields are ``advantages``, ``rollout_log_probs`` (the sampler's own) and, where the algorithm needs them,
    ``ref_log_probs`` and ``old_log_probs``. ``horizon`` is the fixed divisor of ``seq-mean-token-sum-norm`` (tokens).

    ``old`` is what the ratio is taken against: the sampler's log-probs, or with ``old_log_probs=recompute`` the
    trainer's own before its first update of the step. Where that is this very pass the ratio is 1 and only its gradient
    counts.
    """

    def function(log_probs: Tensor, entropy: Tensor, mask: Tensor, fields: dict[str, Tensor]) -> LossSums:
        sampler = fields["rollout_log_probs"]
        recomputed = algorithm.old_log_probs == "recompute"
        old = fields.get("old_log_probs", log_probs.detach()) if recomputed else sampler
        weights = correction(algorithm.mismatch, old - sampler, mask)
        loss, clipped = verl_policy_loss(algorithm, old, log_probs, fields["advantages"], mask, weights, horizon)
        terms = {"policy_loss": loss.detach()}
        log_ratio = (log_probs.detach() - sampler) * mask
        per_token = {
            "ratio": ((log_probs.detach() - old).exp() * mask).sum(),
            # Probability of a token under the trainer over that under the sampler, whichever way round is larger.
            "token_mult_prob_error": (log_ratio.abs().exp() * mask).sum(),
            "mismatch_kl": ((log_ratio.expm1() - log_ratio) * mask).sum(),
            "entropy": (entropy.detach() * mask).sum(),
            **clipped,
        }
        if weights is not None:
            per_token["correction"] = (weights * mask).sum()
        if algorithm.kl_coef > 0 and algorithm.kl_in == "loss":
            divergence = kl_divergence(log_probs, fields["ref_log_probs"], algorithm.kl_estimator)
            kl = aggregate(divergence, mask, algorithm.aggregation, horizon)
            loss, terms["kl"] = loss + algorithm.kl_coef * kl, kl.detach()
        if algorithm.entropy_coef > 0:
            loss = loss - algorithm.entropy_coef * aggregate(entropy, mask, algorithm.aggregation, horizon)
        terms["loss"] = loss.detach()
        largest = {"log_prob_difference": log_ratio.abs().max()}
        return LossSums(loss, terms, per_token, largest, log_ratio[mask.bool()])

    per: Literal["tokens", "sequences"] = "tokens" if algorithm.aggregation == "token-mean" else "sequences"
    return Loss(function, per, algorithm.entropy_coef > 0)
