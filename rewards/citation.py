"""Citation validity: the share of citations that hold (Unilaw-R1's Legal Format criterion, checked by rule)."""

from rewards.citations import check_citations
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

ENOUGH = 8
"""Citations beyond which each further one lowers the score: stuffing an answer with articles does not pay."""


@reward("citation")
def citation(sample: Sample) -> Verdict:
    """Share of the distinct citations whose law is in force, whose article exists and whose quotation is its text;
    divided further where there are more than ``ENOUGH``. 0 without a citation. Invented ones are named."""
    checked = check_citations(sample.completion)
    if not checked:
        return Verdict(0.0, reason="no citation that names its law")
    faults = [found.reason for found in checked if found.fault]
    score = (len(checked) - len(faults)) / len(checked) * min(1.0, ENOUGH / len(checked))
    stuffed = [f"{len(checked)} citations"] if len(checked) > ENOUGH else []
    return Verdict(score, reason="; ".join(faults[:5] + stuffed))
