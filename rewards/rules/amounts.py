"""Money: a fine by its ratio (Judge-R1, JuDGE), an amount exactly (LegalDelta; LawBench 3-7 finds it anywhere)."""

from fractions import Fraction

import regex

from rewards.parsing import final_answer, fine, plain
from rewards.parsing.money import FOREIGN, result, sums
from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.quantity import quantity
from rewards.parsing.text import scan
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

_TOTAL = regex.compile(
    r"(?:合计|共计|总计|总额|总共|累计|一共|总价值?|总金额|总数额?|共)"
    r"(?:[为是:达约]|人民币|价值|金额|数额|损失|盗窃|骗取|犯罪|涉案|\s){0,4}$"
)
_BARE = regex.compile(
    rf"(?<![A-Za-z$€£\d数几上近])(?P<number>{NUMBER})(?!\s?(?:[余多]?\s?(?:{FOREIGN})|[%‰]|分之|以上|以下|[余多]?元))"
)


def single_amount(text: str) -> tuple[Fraction | None, str]:
    """The one amount that a text states, or why there is none: the result of a calculation, else the last one after
    合计 or the like, else the only one. Bounds (三千元以上) are none."""
    found = quantity(text)
    if found is not None and found[1] in ("", "元"):
        return found[0], ""
    written = plain(text)
    every = sums(written)
    calculated = result(written, every)
    if calculated is not None:
        return calculated.yuan, ""
    stated = [one for one in every if not one.bound]
    if not stated:
        bare = set() if every or "分之" in written else _bare(written)
        return (bare.pop(), "") if len(bare) == 1 else (None, "no amount")
    totals = [one for one in stated if _TOTAL.search(written[max(0, one.start - 20) : one.start])]
    if totals:
        return totals[-1].yuan, ""
    distinct = {one.yuan for one in stated}
    return (distinct.pop(), "") if len(distinct) == 1 else (None, f"{len(distinct)} different amounts")


def _bare(written: str) -> set[Fraction]:
    """Numbers that are not said to be of another currency, a share or a bound."""
    found = set()
    for match in scan(_BARE, written[written.rfind("=") + 1 :]):  # of a calculation only the result
        try:
            found.add(value(match["number"]))
        except ValueError:
            continue
    return found


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


def single_fine(text: str) -> Fraction | None:
    """The fine in yuan that a text imposes; a bare number is one."""
    found = quantity(text)
    if found is not None and found[1] in ("", "元"):
        return found[0]
    imposed = fine(text)
    return imposed.yuan if imposed else None


@reward("fine_ratio")
def fine_ratio(sample: Sample) -> Verdict:
    """max(0, 1 - |a - b| / max(a, b, 1)) of the fines in yuan."""
    wanted = single_fine(sample.reference)
    if wanted is None:
        raise ValueError(f"the reference {sample.reference[:60]!r} can't be read as a fine")
    answer = final_answer(sample.completion)
    given = None if answer is None else single_fine(answer)
    if given is None:
        return Verdict(0.0, reason="no fine")
    largest = max(given, wanted, Fraction(1))
    ratio = max(0.0, float(1 - abs(given - wanted) / largest))
    return Verdict(ratio, reason="" if given == wanted else f"{float(given):g}, right is {float(wanted):g}")
