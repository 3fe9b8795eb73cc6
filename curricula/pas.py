"""Plasticity-adjusted sampling (PAS): which share of tokens easy, middling and hard documents get at each step.

After LegalOne, section 3: documents are sorted into buckets by their perplexity under a reference model, and while the
learning rate rises again those of low perplexity are preferred, since they keep curvature and gradient noise low.
Everything here is a pure function; ``curricula.mixture`` draws the documents.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from curricula.errors import DataError

Phase = Literal["re-warm-up", "stable", "decay"]
PHASES: tuple[Phase, ...] = get_args(Phase)
Bucket = Literal["low", "mid", "high"]
BUCKETS: tuple[Bucket, ...] = get_args(Bucket)
Triple = tuple[float, float, float]


def phase_of(step: int, total_steps: int, warmup_steps: int, decay_fraction: float) -> Phase:
    """Phase of a warm-up, stable, decay (WSD) schedule that a step (0-based) belongs to.

    The learning rate is below its peak in the first ``warmup_steps`` steps, and falls in the last ``decay_fraction``
    of the ``total_steps``, as far as these are not warm-up.
    """
    if step < warmup_steps:
        return "re-warm-up"
    return "stable" if step < total_steps - round(total_steps * decay_fraction) else "decay"


def shares(weights: Sequence[float], strength: float, alpha: float) -> Triple:
    """Shares of low, mid and high: P(b) ∝ w_b · exp(strength · 1[b = low] · (1 − alpha)). They sum to 1.

    ``alpha`` is the plasticity coefficient: the learning rate as a share of its peak.

    Raises:
        DataError: if the weights are not three numbers of which none is negative and one is positive.
    """
    low, mid, high = _weights(weights)
    # Multiplying low by e^x or the others by e^-x is the same; the latter can't overflow.
    damped = math.exp(-strength * (1 - alpha)) if low else 1.0
    total = low + damped * (mid + high)
    return low / total, damped * mid / total, damped * high / total


def phase_shares(
    phase: Phase, alpha: float, weights: Sequence[float], strength: float, decay: Sequence[float] | None = None
) -> dict[Bucket, float]:
    """Shares of the buckets in a phase: the formula of :func:`shares`, or ``decay`` (else ``weights``) in the decay.

    Taken literally, the formula would bring easy documents back when the rate falls, where LegalOne's figure 1 shows
    high-quality data; hence the other rule. Raises as :func:`shares` does.
    """
    found = shares(decay or weights, 0.0, 1.0) if phase == "decay" else shares(weights, strength, alpha)
    return dict(zip(BUCKETS, found, strict=True))


def bucket_of(perplexity: float, borders: Sequence[float]) -> Bucket | None:
    """Low up to the first border, mid up to the second, high below the third; None, from there on, is dropped.

    Raises:
        DataError: if the perplexity is not a number.
    """
    if math.isnan(perplexity):
        raise DataError("a document's perplexity is not a number; score the corpus again")
    first, second, third = borders
    if perplexity <= first:
        return "low"
    if perplexity <= second:
        return "mid"
    return "high" if perplexity < third else None


def quantile_borders(perplexities: Sequence[float], quantiles: Sequence[float]) -> Triple:
    """Perplexities for :func:`bucket_of` that cut the documents, in the order of their perplexity, at ``quantiles``.

    Of ``n`` documents with different perplexities, ``ceil(q·n)`` lie below a quantile; none is dropped at 1 or more.

    Raises:
        DataError: if there is no perplexity.
    """
    if not perplexities:
        raise DataError("no document has a perplexity, so they have no quantiles")
    ordered = sorted(perplexities)
    first, second, third = (min(len(ordered), math.ceil(round(q * len(ordered), 9))) for q in quantiles)
    return (
        ordered[first - 1] if first else -math.inf,
        ordered[second - 1] if second else -math.inf,
        ordered[third] if third < len(ordered) else math.inf,
    )


def _weights(weights: Sequence[float]) -> Triple:
    if len(weights) != len(BUCKETS) or min(weights) < 0 or sum(weights) <= 0:
        raise DataError(
            f"weights {list(weights)} must be three numbers for low, mid and high, none negative, not all 0"
        )
    low, mid, high = weights
    return low, mid, high


def bucket_counts(buckets: Sequence[Bucket | None]) -> Mapping[str, int]:
    """Documents of each bucket, and those ``dropped``."""
    return {**{name: buckets.count(name) for name in BUCKETS}, "dropped": buckets.count(None)}
