"""Charges: F1 of the set of charges in the answer (LawBench 3-3, Judge-R1)."""

from rewards.parsing import charges, final_answer
from rewards.registry import reward
from rewards.sets import f1, told
from rewards.verdict import Sample, Verdict


@reward("charge_f1")
def charge_f1(sample: Sample) -> Verdict:
    """F1 of the set of charges; 罪 may be left out, denied charges (不构成…) do not count."""
    wanted = frozenset(name for entry in sample.references() for name in charges(entry))
    if not wanted:
        raise ValueError(f"the reference {sample.reference[:60]!r} names no charge")
    answer = final_answer(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer")
    found = charges(answer)
    return Verdict(f1(len(found & wanted), len(found), len(wanted)), reason=told(found, wanted))
