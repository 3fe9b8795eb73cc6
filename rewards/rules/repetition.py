"""Repetition: the share of n-grams that are new (the content diversity that Fin-R1's data filter asks for)."""

import numpy as np

from rewards.parsing import normalised
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, about 2^64 over the golden ratio (Knuth 1998, 6.4)
_FEW = 200
"""n-grams of which a set is as fast."""


def distinct(text: str, n: int) -> int:
    """How many different n-grams of characters a text has; it is not shorter than ``n``.

    Eight characters of two bytes are two numbers. Sorted by a hash of both, equal n-grams are neighbours; if two that
    differ share a hash, they are counted as a set.
    """
    total = len(text) - n + 1
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    if n == 8 and total > _FEW and codes.max() < 1 << 16:
        four = codes[:-3] | codes[1:-2] << np.uint64(16) | codes[2:-1] << np.uint64(32) | codes[3:] << np.uint64(48)
        first, last = four[:-4], four[4:]
        keys = first * _MIX + last
        order = np.argsort(keys)
        keys, first, last = keys[order], first[order], last[order]
        new = keys[1:] != keys[:-1]
        if np.array_equal(new, (first[1:] != first[:-1]) | (last[1:] != last[:-1])):
            return 1 + int(np.count_nonzero(new))
    return len({text[i : i + n] for i in range(total)})


@reward("repetition")
def repetition(sample: Sample, n: int = 8) -> Verdict:
    """Distinct n-grams of characters over all n-grams: 1 for a text that never repeats itself, near 0 for a loop."""
    text = normalised(sample.completion)
    total = len(text) - n + 1
    if total < 1:
        return Verdict(1.0)
    share = distinct(text, n) / total
    return Verdict(share, reason="" if share > 0.8 else f"{1 - share:.0%} of it repeats what was said")
