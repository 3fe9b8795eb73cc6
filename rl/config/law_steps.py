"""The options of the step that asks about the statutes, as typed models."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from rl.config.base import Strict

LawQuestionKind = Literal[
    "where", "content", "which_law", "number", "statement", "effective", "repealed",
    "charge", "crime", "penalty", "months", "limitation",
]  # fmt: skip


class LawQuestionsStep(Strict):
    """Make questions about each article, whose answers are computed from its text."""

    step: Literal["law_questions"]
    kinds: tuple[LawQuestionKind, ...] = Field(get_args(LawQuestionKind), min_length=1)
    """Which kinds: place of a text, text of an article, law of a sentence, missing number, right or wrong number, day
    of effect, day of repeal, article of a charge, charge of a text, punishment, longest term in months, limitation."""
    per_article: int = Field(2, ge=1)
    """Most questions of an article; those kinds are taken first that have the fewest questions so far."""
    per_law: int = Field(50, ge=1)
    """Most questions of one kind about one law; not for the kinds that the Criminal Law alone has."""
    per_kind: int = Field(2000, ge=1)
    """Most questions of one kind."""
