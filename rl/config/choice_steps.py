"""The options of the steps over choice questions, as typed models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rl.config.base import Strict


class DistilStep(Strict):
    """Have the teacher answer a choice question, with its reasoning."""

    step: Literal["distil"]


class AnswerCheckStep(Strict):
    """Compare the chosen options with the right ones, as sets; an answer without options is dropped."""

    step: Literal["answer_check"]


class RewriteChainStep(Strict):
    """Have the teacher rewrite the reasoning of some of the matched answers."""

    step: Literal["rewrite_chain"]
    share: float = Field(0.1, ge=0, le=1)
    """Share of the matched whose reasoning is rewritten, drawn by the seed; the others go on as they are."""


class ExplainStep(Strict):
    """Have the teacher explain the right answer of some of the unmatched; the others are dropped."""

    step: Literal["explain"]
    share: float = Field(0.1, ge=0, le=1)
    """Share of the unmatched that are explained, drawn by the seed."""


class SelectStep(Strict):
    """Have the judge say of five criteria whether each is met, 1 or 0; what misses one is dropped."""

    step: Literal["select"]
    rl_questions: int = Field(8000, ge=0)
    """Most questions of ``grpo.jsonl``: half are selected ones, half questions that were not selected."""
