"""Citation validity: the share of citations that hold (Unilaw-R1's Legal Format criterion, checked by rule)."""

from rewards.registry import reward
from rewards.statute_check import check_citations, known
from rewards.verdict import Sample, Verdict

ENOUGH = 8
"""Citations beyond which each further one lowers the score: stuffing an answer with articles does not pay."""
NOT_KNOWN = 0.5
"""Score of an answer whose citations are all not known: between that of wrong ones and that of right ones."""


@reward("citation")
def citation(sample: Sample) -> Verdict:
    """Share of the distinct citations whose law is in force, whose article exists and whose quotation is its text;
    divided further where there are more than ``ENOUGH``. 0 without a citation. Invented ones are named. Citations that
    can't be checked (interpretations, regulations) are left out of the share; if all are such, the score is half."""
    checked = check_citations(sample.completion)
    if not checked:
        return Verdict(0.0, reason="no citation that names its law")
    decided = known(checked)
    faults = [found.reason for found in decided if found.fault]
    share = (len(decided) - len(faults)) / len(decided) if decided else NOT_KNOWN
    stuffed = [f"{len(checked)} citations"] if len(checked) > ENOUGH else []
    unknown = [] if decided else [found.reason for found in checked]
    return Verdict(share * min(1.0, ENOUGH / len(checked)), reason="; ".join(faults[:5] + unknown[:5] + stuffed))
