"""Samples to score and the verdicts on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from typing import Any

LONGEST = 4_000
"""Most characters of a reward's reason or error."""


@dataclass(frozen=True)
class Sample:
    """A completion with what is needed to score it."""

    prompt: str
    """Text of the question."""
    completion: str
    """What the policy wrote."""
    reference: str
    """Ground truth, as it would stand inside ``<answer>``; JSON where it has several parts."""
    answer_kind: str = "text"
    """How the answer is compared: choice, article, charge, number or text."""

    def references(self) -> list[str]:
        """The parts of the reference: the entries of a JSON list, else the reference itself."""
        if self.reference.lstrip().startswith("["):
            try:
                found = json.loads(self.reference)
            except ValueError:
                return [self.reference]
            return [entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in found]
        return [self.reference]

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Sample:
        """A sample from a record with prompt, completion, reference and, if needed, answer_kind.

        Raises:
            ValueError: for a missing, unknown or mistyped field.
        """
        unknown = sorted(set(record) - {"prompt", "completion", "reference", "answer_kind"})
        if unknown:
            raise ValueError(f"unknown field {unknown[0]}; known are prompt, completion, reference, answer_kind")
        if not isinstance(record.get("completion"), str):
            raise ValueError("field completion is missing or not text")
        prompt, reference = record.get("prompt", ""), record.get("reference", "")
        if isinstance(prompt, list):  # chat messages: the last is the question
            prompt = prompt[-1].get("content") if prompt and isinstance(prompt[-1], dict) else None
        kind = record.get("answer_kind", "text")
        if not isinstance(prompt, str) or not isinstance(kind, str):
            raise ValueError("fields prompt and answer_kind must be text")
        if reference is None:
            reference = ""
        text = reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False)
        return Sample(prompt, record["completion"], text, kind)


@dataclass(frozen=True)
class Verdict:
    """A score or an error, never both and never a silent zero."""

    score: float | None
    error: str | None = None
    parts: dict[str, float] = field(default_factory=dict)
    """Unweighted score of each reward, for a composed verdict."""
    reason: str = ""
    """Why, in a few words, if the reward says so."""

    def __post_init__(self) -> None:
        if (self.score is None) == (self.error is None):
            raise ValueError("a verdict is either a score or an error")
        object.__setattr__(self, "reason", as_text(self.reason))
        if self.error is not None:
            object.__setattr__(self, "error", as_text(self.error))

    @staticmethod
    def failed(message: str) -> Verdict:
        """An errored verdict."""
        return Verdict(None, error=message)

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values: score or error, the reason, and the parts of a composed one."""
        if self.error is not None:
            return {"error": self.error}
        return {"score": self.score, "reason": self.reason} | ({"parts": self.parts} if self.parts else {})

    @staticmethod
    def read(record: Mapping[str, Any]) -> Verdict:
        """The verdict that :meth:`to_json` wrote."""
        return Verdict(record.get("score"), record.get("error"), record.get("parts", {}), record.get("reason", ""))

    def __add__(self, other: Verdict) -> Verdict:
        """Both verdicts as one: scores add up and parts stand side by side; an error of either is the error of both."""
        if self.score is None or other.score is None:
            return Verdict.failed("; ".join(error for error in (self.error, other.error) if error is not None))
        reasons = "; ".join(reason for reason in (self.reason, other.reason) if reason)
        return Verdict(self.score + other.score, parts={**self.parts, **other.parts}, reason=reasons)


def as_number(value: object) -> float | None:
    """A value as a float if it is one number: a Python number (Decimal and Fraction too), a bool, or a numpy or torch
    value with one element; None for anything else."""
    try:
        masked = getattr(value, "mask", False)  # numpy gives a masked value the item 0
        if masked and not callable(masked):
            return None
        item = getattr(value, "item", None)  # how numpy and torch give it
        found = item() if callable(item) else value
        return float(found) if isinstance(found, Real | Decimal) else None
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def as_text(value: object) -> str:
    """A value as text that can be written as UTF-8: halves of surrogate pairs are joined, lone ones become U+FFFD."""
    text = "" if value is None else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def shortened(text: str) -> str:
    """A reward's reason or error, cut where it is longer than any that somebody reads."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
