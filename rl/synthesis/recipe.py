"""The steps of a recipe, by the names in its YAML."""

from __future__ import annotations

from typing import Any

from rl.config.synthesis import RecipeConfig
from rl.errors import UserError
from rl.synthesis.choices import AnswerCheck, Distil, Explain, RewriteChain, Select
from rl.synthesis.collection import Link, MaskPersonalData, Question, Scenarios, Score, Segment
from rl.synthesis.elements import Balance, Elements, Instructions
from rl.synthesis.law.step import LawQuestions
from rl.synthesis.meaning import SameMeaning
from rl.synthesis.quality import Filter, Judge
from rl.synthesis.reasoning import Conclude, Deduce, FindFacts, Issues, Retrieve
from rl.synthesis.refinement import Converge, Internalise
from rl.synthesis.rephrasing import Rephrase, Styles
from rl.synthesis.selection import ContaminationCheck, Copies, PassRate
from rl.synthesis.step import AnyStep, Context

STEPS: dict[str, Any] = {
    step.name: step
    for step in (
        MaskPersonalData, Segment, Link, Score, Scenarios, Question, FindFacts, Issues, Retrieve, Deduce, Conclude,
        Internalise, Converge, Filter, Judge,
        Copies, ContaminationCheck, PassRate,
        Styles, Rephrase,
        Distil, AnswerCheck, RewriteChain, Explain, Select,
        Elements, Balance, Instructions,
        LawQuestions,
        SameMeaning,
    )
}  # fmt: skip
AFTER: dict[str, tuple[str, ...]] = {
    "link": ("segment",),
    "score": ("segment",),
    "scenarios": ("segment",),
    "question": ("scenarios",),
    "find_facts": ("question",),
    "issues": ("find_facts",),
    "retrieve": ("issues",),
    "deduce": ("retrieve",),
    "conclude": ("deduce",),
    "internalise": ("conclude",),
    "converge": ("conclude",),
    "filter": ("converge", "rephrase", "distil"),
    "judge": ("converge",),
    "pass_rate": ("question",),
    "rephrase": ("styles",),
    "answer_check": ("distil",),
    "rewrite_chain": ("answer_check",),
    "explain": ("answer_check",),
    "select": ("distil",),
    "elements": ("segment",),
    "balance": ("elements",),
    "instructions": ("elements",),
}
"""The steps of which one must stand before a step, because it uses what they find."""


def steps_of(recipe: RecipeConfig, context: Context) -> list[AnyStep]:
    """The steps, ready to run.

    Raises:
        UserError: if a step stands before one whose findings it uses.
    """
    require_order(recipe)
    return [STEPS[options.step](options, context) for options in recipe.steps]


def require_order(recipe: RecipeConfig) -> None:
    """Raises UserError if a step stands before one whose findings it uses."""
    before: list[str] = []
    for options in recipe.steps:
        needed = AFTER.get(options.step, ())
        if needed and not set(needed) & set(before):
            one = " or ".join(needed)
            raise UserError(f"recipe {recipe.name}: the step {options.step} uses what {one} finds; put {one} before it")
        before.append(options.step)
