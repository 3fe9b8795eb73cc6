"""The options of the steps that rewrite texts, as typed models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rl.config.base import Strict

FactKind = Literal["numbers", "dates", "citations", "case_numbers", "names"]
"""Kinds of facts that a rewriting must keep."""
Style = Literal["textbook", "encyclopaedia", "dialogue", "commentary", "layman"]
Writer = Literal["judge", "lawyer", "teacher", "journalist"]


class StylesStep(Strict):
    """Cut a document into passages and choose the rewritings of each: style and perspective."""

    step: Literal["styles"]
    rewritings: int = Field(3, ge=1)
    """Rewritings of each passage; none has the style of another before every style was used."""
    styles: tuple[Style, ...] = Field(min_length=1)
    """How it may be written; ``layman`` takes the text apart, one idea after the other."""
    perspectives: tuple[Writer, ...] = Field(min_length=1)
    """Who may be writing."""
    max_chars: int = Field(1500, ge=100, le=10_000)
    """Longest passage (characters); a passage ends at the end of a line or a sentence where there is one."""


class RephraseStep(Strict):
    """Have the teacher rewrite a passage, and drop what loses or invents facts."""

    step: Literal["rephrase"]
    may_lose: tuple[FactKind, ...] = ()
    """Kinds of facts that a rewriting may leave out."""
    most_alike: float = Field(0.95, ge=0, le=1)
    """Largest likeness to the passage; what is more alike is a copy."""
