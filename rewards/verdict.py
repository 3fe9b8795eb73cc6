"""Samples to be judged and the verdicts on them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """A completion with what is needed to judge it."""

    prompt: str
    """Text of the question."""
    completion: str
    """What the policy wrote."""
    reference: str
    """Ground truth, as it would stand inside ``<answer>``."""
    answer_kind: str = "text"
    """How the answer is compared: choice, article, charge, number or text."""


@dataclass(frozen=True)
class Verdict:
    """A score or an error, never both and never a silent zero."""

    score: float | None
    error: str | None = None
    parts: dict[str, float] = field(default_factory=dict)
    """Unweighted score of each reward, for a composed verdict."""
    reason: str = ""
    """Why, in a few words, where a reward can tell."""

    def __post_init__(self) -> None:
        if (self.score is None) == (self.error is None):
            raise ValueError("a verdict is either a score or an error")

    @staticmethod
    def failed(message: str) -> Verdict:
        """An errored verdict."""
        return Verdict(None, error=message)

    def __add__(self, other: Verdict) -> Verdict:
        """Both verdicts as one: scores add up and parts stand side by side; an error of either is the error of both."""
        if self.score is None or other.score is None:
            return Verdict.failed("; ".join(error for error in (self.error, other.error) if error is not None))
        reasons = "; ".join(reason for reason in (self.reason, other.reason) if reason)
        return Verdict(self.score + other.score, parts={**self.parts, **other.parts}, reason=reasons)
