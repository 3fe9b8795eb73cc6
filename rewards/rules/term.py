"""Terms of imprisonment, in three measures.

``term_log``: LawBench 3-4 and 3-5, (ln 216 - |ln(a+1) - ln(b+1)|) / ln 216, 0 without a term.
``term_cail``: CAIL2018 task 3, steps of |ln(a+1) - ln(b+1)| (Xiao et al. 2018).
``term_ratio``: Judge-R1 and JuDGE, 1 - |a - b| / max(a, b, 1).
In all of them life and death need the same answer (CAIL2018 codes them -1 and -2, JuDGE gives 0 across that border;
LawBench leaves such questions out), and exemption counts as 0 months. 1年6个月 is 18 months; LawBench reads 6.
"""

import math
from collections.abc import Callable

from rewards.parsing import Term, final_answer, term
from rewards.parsing.quantity import quantity
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

LONGEST = math.log(216)
STEPS = ((0.2, 1.0), (0.4, 0.8), (0.6, 0.6), (0.8, 0.4), (1.0, 0.2))
"""(largest log distance, score)."""


def read_term(text: str) -> Term | None:
    """A term in any writing; a bare number is months."""
    found = quantity(text)
    if found is not None and found[1] == "":
        return Term("fixed", found[0])
    return term(text)


def _compared(sample: Sample, score: Callable[[float, float], float]) -> Verdict:
    wanted = read_term(sample.reference)
    if wanted is None:
        raise ValueError(f"the reference {sample.reference[:60]!r} can't be read as a term")
    answer = final_answer(sample.completion)
    given = None if answer is None else read_term(answer)
    if given is None:
        return Verdict(0.0, reason="no term")
    severe = {"life", "death"}
    if given.kind in severe or wanted.kind in severe:
        same = given.kind == wanted.kind and given.suspended == wanted.suspended
        return Verdict(float(same), reason="" if same else f"{given.kind} is not {wanted.kind}")
    a, b = float(given.months or 0), float(wanted.months or 0)
    return Verdict(score(a, b), reason="" if a == b else f"{a:g} months, right is {b:g}")


def log_distance(a: float, b: float) -> float:
    """|ln(a+1) - ln(b+1)| of two terms in months."""
    return abs(math.log(a + 1) - math.log(b + 1))


@reward("term_log")
def term_log(sample: Sample) -> Verdict:
    """LawBench's normalised log distance, at least 0."""
    return _compared(sample, lambda a, b: max(0.0, (LONGEST - log_distance(a, b)) / LONGEST))


@reward("term_cail")
def term_cail(sample: Sample) -> Verdict:
    """CAIL2018's steps: 1, .8, .6, .4, .2 or 0."""
    return _compared(
        sample, lambda a, b: next((score for limit, score in STEPS if log_distance(a, b) <= limit + 1e-12), 0.0)
    )


@reward("term_ratio")
def term_ratio(sample: Sample) -> Verdict:
    """Judge-R1's ratio."""
    return _compared(sample, lambda a, b: max(0.0, 1 - abs(a - b) / max(a, b, 1.0)))
