"""Recall and reciprocal rank of ranked lists."""

from collections.abc import Collection, Sequence


def recall_at(ranked: Sequence[object], wanted: Collection[object], k: int) -> float:
    """Share of the wanted items that are among the first ``k``."""
    return len(set(ranked[:k]) & set(wanted)) / len(set(wanted))


def reciprocal_rank(ranked: Sequence[object], wanted: Collection[object], k: int) -> float:
    """1 / rank of the first wanted item among the first ``k``; 0 if there is none."""
    return next((1 / rank for rank, one in enumerate(ranked[:k], start=1) if one in wanted), 0.0)
