"""Length: DAPO's soft punishment of overlong answers (Yu et al. 2025, arXiv 2503.14476, eq. 13), in characters.

In training ``algorithm.overlong_buffer`` does the same in tokens; this one is for other uses and other limits.
"""

from rewards.registry import reward
from rewards.verdict import Sample, Verdict


@reward("length")
def length(sample: Sample, longest: int = 4096, buffer: int = 512) -> Verdict:
    """0 up to ``longest - buffer`` characters, then falling linearly to -1 at ``longest``, and -1 beyond.

    Raises:
        ValueError: unless 0 < buffer <= longest.
    """
    if not 0 < buffer <= longest:
        raise ValueError(f"buffer={buffer} must lie between 1 and longest={longest}")
    over = len(sample.completion) - (longest - buffer)
    score = -min(1.0, max(0.0, over / buffer))
    return Verdict(score + 0.0, reason=f"{len(sample.completion)} characters" if score else "")
