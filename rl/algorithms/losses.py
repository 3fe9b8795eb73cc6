"""Losses as pure functions of one micro-batch, normalised by counts of the *whole* batch.

Every loss takes dense [B, L] tensors and :class:`Counts`, and returns the loss to call ``backward`` on together with
metric *sums*. Dividing by counts over all ranks and micro-batches, instead of taking a mean of means, makes loss and
gradient independent of how the batch was cut. FSDP averages gradients over ranks, hence the factor ``world_size``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from rl.algorithms.verl_bridge import aggregate, kl_divergence, verl_policy_loss
from rl.config.stages import AlgorithmConfig


@dataclass(frozen=True)
class Counts:
    """Sizes of the batch over all ranks and micro-batches."""

    tokens: float
    """Tokens that the loss covers."""
    sequences: int
    """Sequences."""
    world_size: int
    """Data-parallel ranks, over which gradients are averaged."""


LossFunction = Callable[[dict[str, Tensor], dict[str, Tensor], Counts], tuple[Tensor, dict[str, Tensor]]]
"""(outputs with ``log_probs`` [B, L] and ``entropy`` [B, L], micro-batch, counts) -> (loss, sums of metrics)."""


def next_token_loss(
    outputs: dict[str, Tensor], micro: dict[str, Tensor], counts: Counts
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean negative log-likelihood over the target tokens of the whole batch (nats a token)."""
    nll = -(outputs["log_probs"] * micro["loss_mask"]).sum()
    loss = nll / counts.tokens * counts.world_size
    return loss, {"loss": nll.detach() / counts.tokens}


def policy_loss(algorithm: AlgorithmConfig) -> LossFunction:
    """The clipped policy-gradient loss, plus the KL term and the entropy bonus when their coefficients are above 0.

    The micro-batch holds ``advantages``, ``old_log_probs`` (the sampler's own) and, with a KL term, ``ref_log_probs``.
    """

    def loss_function(
        outputs: dict[str, Tensor], micro: dict[str, Tensor], counts: Counts
    ) -> tuple[Tensor, dict[str, Tensor]]:
        log_probs, mask = outputs["log_probs"], micro["loss_mask"]
        old = micro["old_log_probs"]
        loss, clip_sums = verl_policy_loss(algorithm, old, log_probs, micro["advantages"], mask, counts)
        ratio = (log_probs.detach() - old) * mask
        sums = {
            "policy_loss": loss.detach() / counts.world_size,
            "ratio": (ratio.exp() * mask).sum() / counts.tokens,
            # Probability of a token under the trainer over that under the sampler, whichever way round is larger.
            "token_mult_prob_error": (ratio.abs().exp() * mask).sum() / counts.tokens,
            "mismatch_kl": ((ratio.exp() - 1 - ratio) * mask).sum() / counts.tokens,
            "max/log_prob_difference": ratio.abs().max(),
            "entropy": (outputs["entropy"].detach() * mask).sum() / counts.tokens,
            **clip_sums,
        }
        if algorithm.kl_coef > 0:
            divergence = kl_divergence(log_probs, micro["ref_log_probs"], algorithm.kl_estimator)
            kl = aggregate(divergence, mask, algorithm.aggregation, counts)
            loss = loss + algorithm.kl_coef * kl
            sums["kl"] = kl.detach() / counts.world_size
        if algorithm.entropy_coef > 0:
            loss = loss - algorithm.entropy_coef * aggregate(outputs["entropy"], mask, algorithm.aggregation, counts)
        sums["loss"] = loss.detach() / counts.world_size
        return loss, sums

    return loss_function
