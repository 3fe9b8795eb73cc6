"""Repetition: the share of n-grams that are new (the content diversity that Fin-R1's data filter asks for)."""

from rewards.parsing import normalised
from rewards.registry import reward
from rewards.verdict import Sample, Verdict


@reward("repetition")
def repetition(sample: Sample, n: int = 8) -> Verdict:
    """Distinct n-grams of characters over all n-grams: 1 for a text that never repeats itself, near 0 for a loop."""
    text = normalised(sample.completion)
    total = len(text) - n + 1
    if total < 1:
        return Verdict(1.0)
    share = len({text[i : i + n] for i in range(total)}) / total
    return Verdict(share, reason="" if share > 0.8 else f"{1 - share:.0%} of it repeats what was said")
