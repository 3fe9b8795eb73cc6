"""Confidence intervals of scores, and tests of whether one model beats another on the same questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from rl.records.results import wilson

DRAWS = 10_000
MOST_DRAWN = 200_000_000
"""Values that are drawn in all. Of more than 20,000 scores fewer samples are drawn: their interval is a few thousandths
wide, and its ends are still known to a few hundredths of that."""
BLOCK = 2_000_000
"""Values that are drawn at once; bounds the memory."""


@dataclass(frozen=True)
class Comparison:
    """Model A against model B on the questions that both answered."""

    difference: float
    """Mean score of A minus that of B."""
    interval: tuple[float, float]
    """95% bootstrap interval of the difference."""
    p: float
    """Two-sided p-value of the hypothesis that there is no difference."""
    test: str
    """``mcnemar`` (exact; scores of 0 and 1) or ``permutation`` (signs of the differences)."""
    questions: int


def interval(scores: Sequence[float], level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Interval of a mean: Wilson's where every score is 0 or 1 (1927), else the percentile bootstrap over questions
    (Efron 1979). 20 right answers of 20 are 84 to 100 % by the first; drawn again they are always 20 of 20.

    Raises:
        ValueError: without scores, or if ``level`` is not between 0 and 1.
    """
    if not len(scores) or not 0 < level < 1:
        raise ValueError(f"{len(scores)} scores at level {level}; need at least one score and a level in (0, 1)")
    if {*scores} <= {0.0, 1.0}:
        return wilson(sum(scores), len(scores), z=NormalDist().inv_cdf((1 + level) / 2))
    return _bootstrap(scores, level, draws, seed)


def _bootstrap(scores: Sequence[float], level: float, draws: int, seed: int) -> tuple[float, float]:
    means = _resampled(np.asarray(scores, dtype=float), draws, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled(scores: np.ndarray[tuple[int], np.dtype[np.float64]], draws: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values, counts = np.unique(scores, return_counts=True)
    if len(values) <= 100:  # the same draw, as counts of each value
        drawn = rng.multinomial(len(scores), counts / len(scores), size=draws)
        return np.asarray(drawn @ values / len(scores))
    draws = min(draws, max(1_000, MOST_DRAWN // len(scores)))
    block = max(1, BLOCK // len(scores))
    sizes = [min(block, draws - start) for start in range(0, draws, block)]
    parts = [scores[rng.integers(len(scores), size=(size, len(scores)))].mean(axis=1) for size in sizes]
    return np.concatenate(parts)


def mcnemar(a: Sequence[float], b: Sequence[float]) -> float:
    """Exact two-sided p-value that two models are right equally often, from the questions that only one got right
    (McNemar 1947, binomial form). Scores must be 0 or 1."""
    from scipy.stats import binomtest

    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if left.shape != right.shape or not np.isin(np.concatenate([left, right]), (0.0, 1.0)).all():
        raise ValueError("McNemar's test needs two equally long lists of 0 and 1")
    only_a, only_b = int((left > right).sum()), int((left < right).sum())
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0


def permutation(a: Sequence[float], b: Sequence[float], draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p-value of the mean difference when each pair's order is a coin toss (Fisher's paired randomisation);
    (1 + as extreme) / (1 + draws), so never 0."""
    differences = _differences(a, b)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    rng = np.random.default_rng(seed)
    observed, extreme = abs(differences.sum()), 0
    draws = min(draws, max(1_000, MOST_DRAWN // len(differences)))
    block = max(1, min(1_000, BLOCK // len(differences)))
    for start in range(0, draws, block):
        signs = rng.integers(0, 2, size=(min(block, draws - start), len(differences))) * 2 - 1
        extreme += int((np.abs(signs @ differences) >= observed - 1e-12).sum())
    return (1 + extreme) / (1 + draws)


def _differences(a: Sequence[float], b: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if left.shape != right.shape or not len(left):
        raise ValueError(f"{len(left)} and {len(right)} scores; a paired test needs the same questions")
    return left - right


def compare(a: Mapping[str, float], b: Mapping[str, float], draws: int = DRAWS, seed: int = 0) -> Comparison:
    """Two models by their scores per question id; questions that one of them lacks are left out.

    Raises:
        ValueError: if they share no question.
    """
    shared = [key for key in a if key in b]
    left, right = [a[key] for key in shared], [b[key] for key in shared]
    differences = _differences(left, right)
    binary = {*left, *right} <= {0.0, 1.0}
    return Comparison(
        difference=float(differences.mean()),
        interval=_bootstrap(list(differences), 0.95, draws, seed),
        p=mcnemar(left, right) if binary else permutation(left, right, draws, seed),
        test="mcnemar" if binary else "permutation",
        questions=len(shared),
    )
