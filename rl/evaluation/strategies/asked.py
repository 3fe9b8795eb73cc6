"""Prompts for policy, Assessor and Reviser: templates in files, with one worked example each for the latter two.

The paper shows its prompts only as figures; these are our own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import yaml

from rewards.judge.client import fitting
from rl.evaluation.benchmark import Question
from rl.inference.backend import Answer
from rl.inference.thinking import whole

FOLDER = Path(__file__).parent / "templates"
MOST_STEPS = 64
ASSESSMENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 10},
            "minItems": 1,
            "maxItems": MOST_STEPS,
        },
        "feedback": {"type": "string"},
    },
    "required": ["steps", "feedback"],
}
"""JSON schema of the Assessor's answer."""


@cache
def template(name: str) -> Template:
    """A template of the package."""
    return Template((FOLDER / f"{name}.zh.txt").read_text(encoding="utf-8").strip())


@cache
def example() -> dict[str, str]:
    """The worked example that Assessor and Reviser are shown."""
    found = yaml.safe_load((FOLDER / "example.zh.yaml").read_text(encoding="utf-8"))
    return {str(key): str(value) for key, value in found.items()}


def with_reasoning(question: Question) -> Question:
    """The question with the instruction to reason before answering (zero-shot chain of thought)."""
    return replace(question, prompt=template("cot").substitute(question=question.prompt))


def to_assess(question: Question, chain: Answer) -> Question:
    """The Assessor's prompt for a chain."""
    shown, asked = example(), template("assess")
    shot = asked.substitute(question=shown["question"], solution=shown["solution"]), shown["assessment"]
    text = asked.substitute(question=question.prompt, solution=whole(chain))
    return Question(question.id, text, None, shots=(shot,))


def to_revise(question: Question, chain: Answer, feedback: str) -> Question:
    """The Reviser's prompt for a chain."""
    shown, asked = example(), template("revise")
    shot = asked.substitute(shown), shown["refined"]
    text = asked.substitute(question=question.prompt, solution=whole(chain), feedback=feedback)
    return Question(question.id, text, None, shots=(shot,))


def assessment_of(answer: Answer) -> tuple[float, str] | None:
    """(mean score of the steps in [0, 1], feedback); None if the Assessor's answer does not have the form."""
    try:
        found = fitting(answer.text, ASSESSMENT)
    except ValueError:
        return None
    return sum(found["steps"]) / len(found["steps"]) / 10, str(found["feedback"])
