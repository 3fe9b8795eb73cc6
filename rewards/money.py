"""Money: a fine by its ratio (Judge-R1, JuDGE), an amount exactly (LegalDelta; LawBench 3-7 finds it anywhere)."""

from fractions import Fraction

from rewards.parsing import amounts, final_answer, fine, numbers
from rewards.parsing.quantity import quantity
from rewards.registry import reward
from rewards.verdict import Sample, Verdict


def single_amount(text: str) -> tuple[Fraction | None, str]:
    """The one amount that a text states, or why there is none: after 合计 or the like, else the only one."""
    found = quantity(text)
    if found is not None and found[1] in ("", "元"):
        return found[0], ""
    stated = amounts(text)
    if not stated:
        bare = set(numbers(text))
        return (bare.pop(), "") if len(bare) == 1 else (None, "no amount")
    for cue in ("合计", "共计", "总计", "总额"):
        place = text.rfind(cue)
        after = amounts(text[place:]) if place >= 0 else []
        if after:
            return after[0].yuan, ""
    distinct = {amount.yuan for amount in stated}
    return (distinct.pop(), "") if len(distinct) == 1 else (None, f"{len(distinct)} different amounts")


@reward("amount")
def amount(sample: Sample) -> Verdict:
    """1 if the answer states exactly the right sum; naming several different sums earns nothing."""
    wanted, problem = single_amount(sample.reference)
    if wanted is None:
        raise ValueError(f"the reference {sample.reference[:60]!r} can't be read as an amount: {problem}")
    answer = final_answer(sample.completion)
    given, problem = (None, "no answer") if answer is None else single_amount(answer)
    right = given == wanted
    wrong = problem or ("" if given is None or right else f"{float(given):g}, right is {float(wanted):g}")
    return Verdict(float(right), reason=wrong)


def _fine(text: str) -> Fraction | None:
    found = quantity(text)
    if found is not None and found[1] in ("", "元"):
        return found[0]
    imposed = fine(text)
    return imposed.yuan if imposed else None


@reward("fine_ratio")
def fine_ratio(sample: Sample) -> Verdict:
    """max(0, 1 - |a - b| / max(a, b, 1)) of the fines in yuan."""
    wanted = _fine(sample.reference)
    if wanted is None:
        raise ValueError(f"the reference {sample.reference[:60]!r} can't be read as a fine")
    answer = final_answer(sample.completion)
    given = None if answer is None else _fine(answer)
    if given is None:
        return Verdict(0.0, reason="no fine")
    largest = max(given, wanted, Fraction(1))
    ratio = max(0.0, float(1 - abs(given - wanted) / largest))
    return Verdict(ratio, reason="" if given == wanted else f"{float(given):g}, right is {float(wanted):g}")
