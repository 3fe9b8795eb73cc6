"""Option sets of choice questions (JEC-QA: correct if and only if the sets are equal; Zhong et al. 2020).

Partial credit is the rule of many Chinese examinations: too few right options earn their share, any wrong one earns
nothing, so listing all options does not pay.
"""

from rewards.parsing import choice_letters, final_answer, find_choice
from rewards.registry import reward
from rewards.verdict import Sample, Verdict


def _sets(sample: Sample) -> tuple[frozenset[str] | None, frozenset[str]]:
    wanted = choice_letters("".join(sample.references())) or find_choice(sample.reference)
    if wanted is None:
        raise ValueError(f"the reference {sample.reference!r} can't be read as option letters")
    answer = final_answer(sample.completion)
    return (None if answer is None else find_choice(answer)), wanted


def _difference(chosen: frozenset[str] | None, wanted: frozenset[str]) -> str:
    if chosen is None:
        return "no option is chosen"
    return "" if chosen == wanted else f"chose {''.join(sorted(chosen))}, right is {''.join(sorted(wanted))}"


@reward("option_set")
def option_set(sample: Sample) -> Verdict:
    """1 if exactly the right options are chosen, in any order and writing; else 0."""
    chosen, wanted = _sets(sample)
    return Verdict(float(chosen == wanted), reason=_difference(chosen, wanted))


@reward("option_partial")
def option_partial(sample: Sample) -> Verdict:
    """The share of the right options that are chosen, if no wrong one is; else 0."""
    chosen, wanted = _sets(sample)
    share = len(chosen) / len(wanted) if chosen and chosen <= wanted else 0.0
    return Verdict(share, reason=_difference(chosen, wanted))
