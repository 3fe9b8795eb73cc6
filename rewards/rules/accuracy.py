"""Accuracy: the answer inside ``<answer>…</answer>`` against the reference (Unilaw-R1, R_acc)."""

from typing import TypeVar

from rewards.parsing import answer_of, articles, choice_letters, normalised, present_charges, quantity
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

T = TypeVar("T")


def agrees(answer: str, reference: str, kind: str) -> bool:
    """Whether an answer says the same as the reference, compared as its kind requires.

    Raises:
        ValueError: if the reference itself can't be read as that kind, or the kind is unknown.
    """
    if kind == "text":
        return normalised(answer) == normalised(reference)
    if kind == "choice":
        return choice_letters(answer) == _read(choice_letters(reference), reference, kind)
    if kind == "number":
        return quantity(answer) == _read(quantity(reference), reference, kind)
    if kind == "article":
        return articles(answer) == _read(articles(reference) or None, reference, kind)
    if kind == "charge":
        wanted = _read(present_charges(reference) or None, reference, kind)
        return present_charges(answer) == wanted and articles(answer) == articles(reference)
    raise ValueError(f"answer_kind {kind!r} is unknown; use choice, article, charge, number or text")


def _read(value: T | None, reference: str, kind: str) -> T:
    if value is None:
        raise ValueError(f"the reference {reference!r} can't be read as {kind}")
    return value


@reward("accuracy")
def accuracy(sample: Sample) -> Verdict:
    """1 if the answer agrees with the reference, else 0."""
    answer = answer_of(sample.completion)
    right = agrees(answer or "", sample.reference, sample.answer_kind)  # an unreadable reference is an error either way
    if answer is None:
        return Verdict(0.0, reason="no answer block")
    return Verdict(float(right), reason="" if right else f"{answer[:40]!r} is not {sample.reference[:40]!r}")
