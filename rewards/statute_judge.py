"""The ``statute`` judge: Unilaw-R1's 0, 1 or 2 for legal validity, by rules over the statutes in force.

Unilaw-R1 asks a language model (appendix B: syllogism, choice analysis, legal format, logical consistency). Rules can't
follow an argument, but what they find wrong is wrong: 0 for a citation of what does not exist or for a conclusion
against what was said before it, 1 for an inexact quotation or an option left out, 2 when nothing is found. Citations
that are not known (interpretations, regulations) count neither way; if all are such, it is 1.
"""

from fractions import Fraction

import regex

from rewards.parsing import choice_letters, final_answer, folded, judged_right, term, thinking_of
from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.text import scan
from rewards.rules.choice_analysis import options_of, skipped
from rewards.statute_check import Checked, article_of, check_citations, known
from rewards.verdict import Sample

MOST_CITATIONS = 12
"""Distinct citations from which an answer counts as stuffed."""
LONGEST_QUOTED = 300
MOST_QUOTED = 0.7
"""Characters of quotation, and their share of a completion, from which law is pasted rather than applied."""

_RANGE = regex.compile(
    rf"(?:(?P<low>{NUMBER})(?P<low_unit>年|个月)以上)?(?:(?P<high>{NUMBER})(?P<high_unit>年|个月)以下)?有期徒刑"
)
_OTHER_TERMS = regex.compile(r"减轻|未遂|从犯|中止|预备|未成年|未满|缓刑|并罚|认罪|自首|立功|坦白|免除|从轻")


def judge(sample: Sample) -> tuple[int, str]:
    """Points (0, 1 or 2) and the reason."""
    checked = check_citations(sample.completion)
    if not checked:
        return 0, "no citation"  # nothing could be verified
    decided = known(checked)
    for found in decided:
        if found.fault not in ("", "inexact"):
            return 0, found.reason
    against = contradiction(sample, checked)
    if against:
        return 0, against
    inexact = next((found.reason for found in decided if found.fault), "")
    if inexact:
        return 1, inexact
    if not decided:
        return 1, checked[0].reason
    padded = padding(sample.completion, checked)
    if padded:
        return 1, padded
    if options_of(sample.prompt):
        missing = skipped(sample.prompt, sample.completion)
        if missing:
            return 1, f"not discussed: {''.join(missing)}"
    return 2, ""


def padding(completion: str, checked: list[Checked]) -> str:
    """How a completion is padded with law instead of arguing; empty when it is not."""
    if len(checked) > MOST_CITATIONS:
        return f"{len(checked)} citations"
    quoted = sum(len(found.ref.quote or "") for found in checked)
    size = len(folded(completion))
    if quoted > LONGEST_QUOTED and quoted > MOST_QUOTED * size:
        return f"{quoted} of {size} characters are quotation"
    return ""


def contradiction(sample: Sample, checked: list[Checked]) -> str:
    """How the answer goes against the reasoning before it; empty when no rule finds that it does."""
    answer, thought = final_answer(sample.completion), thinking_of(sample.completion)
    if answer is None or not thought:
        return ""
    options = set(options_of(sample.prompt))
    chosen = choice_letters(answer)
    if options and chosen is not None:
        for letter, right in sorted(judged_right(thought).items()):
            if letter in options and right != (letter in chosen):
                return f"option {letter} is called {'right' if right else 'wrong'} and then {'not ' * right}chosen"
    sentence = term(answer)
    if sentence and sentence.months and sentence.kind == "fixed" and not _OTHER_TERMS.search(folded(sample.completion)):
        ranges = [r for found in checked for r in _ranges(found)]
        if ranges and not any(low <= sentence.months <= high for low, high in ranges):
            return f"{float(sentence.months):g} months lie outside every range of the articles cited"
    return ""


def _ranges(found: Checked) -> list[tuple[Fraction, Fraction]]:
    """Ranges of fixed terms (months) of a cited article."""
    article = article_of(found.ref)
    text = folded(article.text) if article else ""
    ranges = []
    for match in scan(_RANGE, text):
        low = value(match["low"]) * (12 if match["low_unit"] == "年" else 1) if match["low"] else Fraction(6)
        high = value(match["high"]) * (12 if match["high_unit"] == "年" else 1) if match["high"] else Fraction(180)
        ranges.append((low, high))
    return ranges
