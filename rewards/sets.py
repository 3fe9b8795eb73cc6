"""F1 of two sets."""

from collections.abc import Collection


def f1(right: float, predicted: int, wanted: int) -> float:
    """Harmonic mean of ``right / predicted`` and ``right / wanted``; 1 if both sides are empty, 0 if one is."""
    if not predicted or not wanted:
        return float(predicted == wanted)
    return 2 * right / (predicted + wanted)


def difference(predicted: Collection[str], wanted: Collection[str]) -> str:
    """What is missing and what was not asked for, in words."""
    missing, extra = sorted(set(wanted) - set(predicted)), sorted(set(predicted) - set(wanted))
    parts = [f"missing {', '.join(missing[:5])}"] if missing else []
    return "; ".join(parts + ([f"not asked for {', '.join(extra[:5])}"] if extra else []))
