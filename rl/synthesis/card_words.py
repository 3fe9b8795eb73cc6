"""What stands in the cells of a data card, in the language of its reader."""

from __future__ import annotations

from functools import lru_cache
from string import Formatter
from typing import Any, get_args

import regex

from curricula.cleaning import Reason
from rl.config.law_steps import LawQuestionKind
from rl.config.rephrasing_steps import Style, Writer
from rl.config.synthesis import Perspective, Scenario, Way
from rl.language import Lang, chinese, say

HEADS = (
    "step", "in", "kept", "dropped", "failed", "out", "requests", "prompt_tokens", "completion_tokens", "cost",
    "records", "prompt", "think", "answer", "text", "reason", "value", "share", "benchmark", "questions", "found", "id",
    "source", "fate", "detail", "outcome", "set", "options", "style", "read", "faithful", "loses", "invents",
)  # fmt: skip
"""Of the columns."""
REASONS = (
    "not readable", "copy", *(reason.replace("_", " ") for reason in get_args(Reason)),
    "truncated", "no answer of the asked form", "unreadable characters", "blank",
    "refused by the server", "a parser took too long", "the step failed",
    "no judgment", "unknown layout", "question too short", "question gives the decision away", "no article found",
    "not the court's charge", "conclusion changed", "still names the material", "broken structure", "speaks to a judge",
    "repeated", "citation misquoted", "citation does not exist", "invents facts", "loses facts", "a copy of its source",
    "same meaning", "answers not scored", "always solved", "never solved", "answer unreadable", "answer changed",
    "answer unmatched", "no elements", "enough of its charge", "enough of its province", "too long",
    "enough of its kinds", "no question fits", "question not found", "no options", "two answers", "no answer",
    "answer is no option", "no stem", "option empty", "text behind the options",
    "{point} below {least}", "{point} not met", "test question of {names}",
)  # fmt: skip
"""Why a record is dropped or fails."""
VALUES = {
    "fate": ("kept", "dropped", "failed"),
    "point": (
        "completeness", "complexity", "quality", "consistency", "alignment", "conciseness", "language", "overall",
        "rules", "practice", "coherence", "result", "argument",
    ),
    "scenario": (*get_args(Scenario), *get_args(LawQuestionKind), "elements", "knowledge", "single", "multiple", "all"),
    "way": (*get_args(Way), "distilled", "rewritten", "explained"),
    "check": ("matched", "unmatched", "unreadable"),
    "style": (*get_args(Style), "all"),
    "perspective": tuple(dict.fromkeys((*get_args(Perspective), *get_args(Writer)))),
    "field": ("criminal", "civil", "administrative", "other"),
}  # fmt: skip
"""What our steps write into records, by kind. The catalogue has it as ``kind value``."""
KINDS = {"fate": "fate", "outcome": "check", "options": "scenario", "style": "style"}
"""What columns hold."""


def shown(lang: Lang, value: Any, column: str, kind: str = "") -> str:
    """What a cell says; ``kind`` is that of the value, where the column does not say it."""
    if value is None:
        return ""
    if column == "reason":
        return said_reason(lang, value)
    return said_value(lang, kind or KINDS.get(column, ""), str(value))


def said_value(lang: Lang, kind: str, value: str) -> str:
    """A value in a language; one that nobody knows stays as it is."""
    known = f"{kind} {value}"
    return say(lang, known) if lang != "en" and known in chinese() else value


def said_reason(lang: Lang, reason: str) -> str:
    """A reason in a language, with the fate before it (``dropped: copy``) or without."""
    fate, colon, rest = reason.partition(": ")
    if colon and fate in VALUES["fate"]:
        return f"{said_value(lang, 'fate', fate)}{say(lang, ': ')}{said_reason(lang, rest)}"
    for template, form in _forms().items():
        if match := form.fullmatch(reason):
            return say(lang, template, **{name: said_value(lang, name, one) for name, one in match.groupdict().items()})
    return say(lang, reason)


@lru_cache(maxsize=1)
def _forms() -> dict[str, regex.Pattern[str]]:
    """The reasons with values in them, as patterns."""
    return {reason: _form(reason) for reason in REASONS if "{" in reason}


def _form(template: str) -> regex.Pattern[str]:
    parts = [regex.escape(text) + (f"(?P<{name}>.+)" if name else "") for text, name, *_ in Formatter().parse(template)]
    return regex.compile("".join(parts))
