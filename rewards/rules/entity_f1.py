"""Named entities: soft F1 over types (LawBench 2-6): values are compared by the F1 of their characters."""

import json
from collections import Counter

import regex

from rewards.parsing import final_answer, folded
from rewards.parsing.text import scan
from rewards.registry import reward
from rewards.sets import f1
from rewards.verdict import Sample, Verdict

_PAIR = regex.compile(r"(?P<type>[\p{Han}A-Za-z_ ]{1,20}+)\s?:\s?(?P<value>[^;\n:]{1,200}+)")
_NOTHING = {"无", "未提及", "没有", "不详", ""}


def entities(text: str) -> dict[str, str]:
    """Type → value of 类型:值;… or of a JSON object; 无 and 未提及 are left out. The first value of a type counts."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    pairs = (
        ((str(k), "、".join(map(str, v)) if isinstance(v, list) else str(v)) for k, v in found.items())
        if isinstance(found, dict)
        else ((m["type"], m["value"]) for m in scan(_PAIR, folded(text)))
    )
    kept: dict[str, str] = {}
    for name, value in pairs:
        if folded(value).strip(" 。.,") not in _NOTHING:
            kept.setdefault(folded(name).strip(), value)
    return kept


def char_f1(left: str, right: str) -> float:
    """F1 of the multisets of letters and digits (LawBench's rc-F1)."""
    counts = [Counter(c for c in folded(text).lower() if c.isdigit() or c.isalpha()) for text in (left, right)]
    return f1((counts[0] & counts[1]).total(), counts[0].total(), counts[1].total())


@reward("entity_f1")
def entity_f1(sample: Sample) -> Verdict:
    """Sum of the values' F1 over common types, as precision and recall over the types of both sides."""
    wanted = entities(sample.reference)
    answer = final_answer(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer")
    given = entities(answer)
    right = sum(char_f1(given[name], wanted[name]) for name in wanted.keys() & given.keys())
    missing = sorted(wanted.keys() - given.keys())
    return Verdict(f1(right, len(given), len(wanted)), reason=f"missing {', '.join(missing[:5])}" if missing else "")
