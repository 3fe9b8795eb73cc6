"""Charges: F1 of the set of charges in the answer (LawBench 3-3, Judge-R1)."""

from rewards.parsing import final_answer, present_charges
from rewards.registry import reward
from rewards.sets import difference, f1
from rewards.verdict import Sample, Verdict


@reward("charge_f1")
def charge_f1(sample: Sample) -> Verdict:
    """F1 of the set of charges; 罪 may be left out, denied charges (不构成…) do not count. A part of a selective charge
    is that charge (贩卖毒品罪 is 走私、贩卖、运输、制造毒品罪), and a former name the present one."""
    wanted = frozenset(name for entry in sample.references() for name in present_charges(entry))
    if not wanted:
        raise ValueError(f"the reference {sample.reference[:60]!r} names no charge")
    answer = final_answer(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer")
    found = present_charges(answer)
    return Verdict(f1(len(found & wanted), len(found), len(wanted)), reason=difference(found, wanted))
