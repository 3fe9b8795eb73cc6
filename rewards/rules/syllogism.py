"""Syllogism: rule, facts, conclusion, in this order (Unilaw-R1, appendix B)."""

import regex

from rewards.parsing import folded
from rewards.parsing.text import TIME_LIMIT_S
from rewards.registry import reward
from rewards.statute_check import check_citations
from rewards.verdict import Sample, Verdict

_RULE = regex.compile(r"大前提|规定|依照|根据《|依据|条[，,:：]|第[\d零一二三四五六七八九十百千]{1,12}条")
_FACTS = regex.compile(r"小前提|本案|案中|题中|该案|被告人?|原告|行为人|甲|乙|当事人|申请人|某(?=\p{Han})|\p{Han}某")
_CONCLUSION = regex.compile(r"结论|因此|所以|综上|故而?|由此|可见|据此|应当认定|<answer>|最终回答")
ENOUGH = 10
"""Characters that a premise must hold; bare cue words are not enough."""


@reward("syllogism")
def syllogism(sample: Sample) -> Verdict:
    """A third each for a major premise (a rule of law), a minor premise (facts after it) and a conclusion after both.

    A major premise that cites only laws or articles that do not exist does not count. A rule can see structure, not
    soundness; ``legal_validity`` with an LLM judge looks at that."""
    text = folded(sample.completion)
    rule = _first(_RULE, text, 0)
    checked = check_citations(sample.completion)
    if (
        rule is not None
        and checked
        and all(found.fault in ("unknown law", "not in force", "unknown article", "unknown part") for found in checked)
    ):
        rule = None
    facts = _first(_FACTS, text, 0 if rule is None else rule + ENOUGH)
    premise = max((place for place in (rule, facts) if place is not None), default=None)
    end = None if premise is None else _first(_CONCLUSION, text, premise + ENOUGH)
    found = {"major premise": rule, "minor premise": facts, "conclusion": end}
    missing = [name for name, place in found.items() if place is None]
    return Verdict((3 - len(missing)) / 3, reason=f"no {', '.join(missing)}" if missing else "")


def _first(pattern: "regex.Pattern[str]", text: str, least: int) -> int | None:
    """Where the first match begins that does not begin before a place; what follows it is not searched."""
    matches = pattern.finditer(text, timeout=TIME_LIMIT_S)
    return next((match.start() for match in matches if match.start() >= least), None)
