"""Whether two conclusions are the same, by our own parsers."""

from __future__ import annotations

from typing import Any

from rapidfuzz.fuzz import ratio

from rewards.parsing import amounts, charges_in_force, choice_letters, normalised, present_charges, term
from rl.inference.structuring.grounds import outcome_element
from rl.inference.structuring.judgment_text import aligned

ALIKE = 50.0
"""Least similarity (0 to 100) of two conclusions in which no parser finds anything."""


def found_charges(text: str) -> frozenset[str]:
    """The charges of a text that are in force; a short text's other words are none, as they may be for a reward."""
    return present_charges(text) & charges_in_force().keys()


def read(text: str, kind: str) -> dict[str, Any]:
    """What the parsers find in a conclusion: charges, sentence, sums of money, option letters, outcome."""
    found: dict[str, Any] = {}
    if kind == "criminal" and (charges := found_charges(text)):
        found["charges"] = sorted(charges)
    if (sentence := term(text)) is not None:
        found["term"] = f"{sentence.kind} {sentence.months} {sentence.suspended}"
    if sums := {str(amount.yuan) for amount in amounts(text)}:
        found["yuan"] = sorted(sums)
    if letters := choice_letters(text):
        found["options"] = "".join(sorted(letters))
    plain = aligned(text)
    (outcome,) = outcome_element(plain, 0, len(plain), "civil", "first") or (None,)
    if kind != "criminal" and outcome is not None and outcome.value != "granted":
        found["outcome"] = outcome.value
    return found


def change(before: str, after: str, kind: str) -> str:
    """How a conclusion differs from the one before it; empty if it is the same.

    Where the parsers find nothing in either, the texts themselves must be alike.
    """
    first, second = read(before, kind), read(after, kind)
    for name in dict.fromkeys((*first, *second)):
        if first.get(name) != second.get(name):
            return f"{name}: {_shown(first.get(name))} became {_shown(second.get(name))}"
    if not first and ratio(normalised(before), normalised(after)) < ALIKE:
        return "another text"
    return ""


def _shown(value: Any) -> str:
    return "nothing" if value is None else "、".join(value) if isinstance(value, list) else str(value)
