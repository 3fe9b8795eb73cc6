"""Legal elements as JSON: F1 over the elements, terms in months (LexPro-1.0: 15 years is 180 months, a fine is not a
compensation). The paper's own measure was not published; per-element F1 is the choice made here."""

import json
from typing import Any

from rewards.parsing import final_answer, normalised, quantity
from rewards.parsing.terms import term
from rewards.registry import reward
from rewards.sets import f1
from rewards.verdict import Sample, Verdict

MOST = 200
"""Elements that are compared."""


def read_elements(text: str) -> dict[str, Any] | None:
    """The JSON object of a text, bare, fenced, or from its first { to its last }; None if there is none."""
    fenced = [block.removeprefix("json") for block in text.split("```")[1::2]]
    braces = text[text.find("{") : text.rfind("}") + 1]
    for candidate in (*fenced[-1:], text, braces):
        try:
            found = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def flatten(value: Any, name: str = "") -> list[tuple[str, str]]:
    """(path, value) of every leaf; the entries of a list share one path."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in flatten(inner, f"{name}.{normalised(str(key))}")]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in flatten(inner, name)]
    if value is None or value == "":
        return []
    return [(name.removeprefix("."), _canonical(str(value)))]


def _canonical(value: str) -> str:
    """A value in one writing: terms in months, money in yuan, anything else folded."""
    found = quantity(value)
    if found is not None:
        return f"{found[0]}{found[1]}"
    sentence = term(value)
    if sentence is not None and len(value) <= 40:
        return sentence.kind if sentence.months is None else f"{sentence.months}月"
    return normalised(value).removesuffix("罪")


def _agree(left: str, right: str) -> bool:
    """Whether two values agree; a bare number takes the other's unit, which is months or yuan after folding."""
    return left == right or (left.rstrip("月元") == right.rstrip("月元") and (left.isascii() or right.isascii()))


@reward("elements_f1")
def elements_f1(sample: Sample) -> Verdict:
    """F1 over (element, value) pairs, at any depth. Elements that are empty on both sides do not count."""
    gold = read_elements(sample.reference)
    if gold is None:
        raise ValueError(f"the reference {sample.reference[:60]!r} is not a JSON object")
    wanted = flatten(gold)
    answer = final_answer(sample.completion)
    given_object = None if answer is None else read_elements(answer)
    if given_object is None:
        return Verdict(0.0, reason="no JSON object in the answer")
    given = flatten(given_object)
    left, wrong = list(wanted), []
    for name, value in given[:MOST]:
        match = next((pair for pair in left if pair[0] == name and _agree(pair[1], value)), None)
        if match:
            left.remove(match)
        else:
            wrong.append(name)
    score = f1(len(wanted) - len(left), len(given), len(wanted))
    notes = [f"missing or wrong: {', '.join(sorted({name for name, _ in left}))[:200]}"] if left else []
    return Verdict(score, reason="; ".join(notes + ([f"not right: {', '.join(wrong[:5])}"] if wrong else [])))
