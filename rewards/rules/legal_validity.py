"""Legal validity (Unilaw-R1's R_legal in {0, 1, 2}, divided by 2), as the judge decides it."""

from rewards.registry import reward
from rewards.statute_judge import judge
from rewards.verdict import Sample, Verdict


@reward("legal_validity", judged=True)
def legal_validity(sample: Sample) -> Verdict:
    """0, 0.5 or 1. By rules over the statutes (``judge.kind=statute``), or by a language model (``judge.kind=llm``)."""
    points, reason = judge(sample)
    return Verdict(points / 2, reason=reason)
