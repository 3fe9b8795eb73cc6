"""The options of the steps that make instruction data from the elements of judgments, as typed models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rl.config.base import Strict


class ElementsStep(Strict):
    """Read charge, term, sums, law and province of a judgment, by rules."""

    step: Literal["elements"]


class BalanceStep(Strict):
    """Keep at most so many judgments of each charge (cause, in a civil case) and province, and none twice."""

    step: Literal["balance"]
    per_charge: int = Field(1000, ge=1)
    """Most judgments of a charge or cause; one of several charges counts for each."""
    per_province: int = Field(2000, ge=1)
    """Most judgments of a province, and of those whose province is not known."""
    similarity: float = Field(0.8, ge=0, le=1)
    """Jaccard similarity of character 5-grams from which a judgment is a copy; 0 drops only exact copies."""


class InstructionsStep(Strict):
    """Make a question about the elements of each judgment, and one about each article that it cites."""

    step: Literal["instructions"]
    max_chars: int = Field(6000, ge=100)
    """Longest text of a judgment in a question (characters)."""
