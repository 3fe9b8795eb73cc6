"""Quality of retrieval: recall, reciprocal rank and discounted gain, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

CUTS = (5, 10, 20, 100)
"""Cut-offs of recall."""
RESAMPLES = 2_000


def of_question(ranked: Sequence[int], relevant: frozenset[int]) -> dict[str, float]:
    """hit@5, recall@5/10/20/100, mrr@10 and ndcg@10 of one question, each in [0, 1].

    A hit is any relevant article. Recall is the share of the relevant articles that are found; nDCG has gain 1 for
    each and discounts by log2 of the place (Järvelin and Kekäläinen 2002).
    """
    places = [place for place, article in enumerate(ranked, start=1) if article in relevant]
    found = {"hit@5": float(bool(places) and places[0] <= 5)}
    found |= {f"recall@{cut}": sum(p <= cut for p in places) / len(relevant) for cut in CUTS}
    found["mrr@10"] = 1 / places[0] if places and places[0] <= 10 else 0.0
    ideal = sum(1 / np.log2(place + 1) for place in range(1, min(10, len(relevant)) + 1))
    found["ndcg@10"] = float(sum(1 / np.log2(place + 1) for place in places if place <= 10) / ideal)
    return found


def averages(questions: Sequence[Mapping[str, float]], seed: int = 0) -> dict[str, tuple[float, float, float]]:
    """(mean, low, high) of every measure: 95 % percentile bootstrap over the questions.

    Raises:
        ValueError: if there are no questions.
    """
    if not questions:
        raise ValueError("no question to average over")
    names = list(questions[0])
    values = np.array([[question[name] for name in names] for question in questions])
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    means = np.stack([values[draw].mean(axis=0) for draw in draws])
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return {n: (float(m), float(a), float(b)) for n, m, a, b in zip(names, values.mean(axis=0), low, high, strict=True)}
