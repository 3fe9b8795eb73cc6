"""The tables of a data card that only some recipes have."""

from __future__ import annotations

from collections.abc import Sequence

from rl.config.synthesis import SynthesisConfig
from rl.inference.backends.served import estimate
from rl.synthesis.choices import AnswerCheck, Select, rl_questions
from rl.synthesis.outputs import written
from rl.synthesis.records import Fields, StepResult
from rl.synthesis.rephrasing import Rephrase


def tables(config: SynthesisConfig, results: Sequence[StepResult]) -> list[Fields]:
    """Title, hint, head and rows of each."""
    return [table for table in (*map(faithfulness, results), *map(answers, results), sets(config, results)) if table]


def answers(result: StepResult) -> Fields:
    """How many answers to choice questions chose the right options."""
    if result.name != AnswerCheck.name or not result.outcomes:
        return {}
    outcomes = [one.made[0].fields["check"] if one.made else "unreadable" for one in result.outcomes]
    rows = [
        {"outcome": name, "records": outcomes.count(name), "share": round(outcomes.count(name) / len(outcomes), 4)}
        for name in ("matched", "unmatched", "unreadable")
    ]
    return {"title": "Answer check", "hint": "Options are compared as sets.", "head": list(rows[0]), "rows": rows}


def sets(config: SynthesisConfig, results: Sequence[StepResult]) -> Fields:
    """Records and mean tokens of the sets of choice questions, in the shape of Unilaw-R1's table 1."""
    if results[-1].name != Select.name:
        return {}
    rows: list[Fields] = []
    chosen = {"sft": results[-1].kept, "rl": rl_questions(config, results)}
    for name, records in chosen.items():
        for kind in ("single", "multiple", "all"):
            some = [one.fields for one in records if kind in ("all", one.fields["scenario"])]
            parts = [written(fields) or {"prompt": fields["question"]} for fields in some]
            means = {part: _mean([one[part] for one in parts if part in one]) for part in ("prompt", "think", "answer")}
            rows.append({"set": name, "options": kind, "records": len(some), **means})
    hint = "Mean tokens, estimated. Half of the RL set was selected for SFT, half was not."
    return {"title": "Sets", "hint": hint, "head": list(rows[0]), "rows": rows}


def _mean(texts: Sequence[str]) -> int | None:
    return round(sum(map(estimate, texts)) / len(texts)) if texts else None


def faithfulness(result: StepResult) -> Fields:
    """How many of the rewritings that could be read lose nothing and invent nothing, by style and in all."""
    read = [one for one in result.outcomes if one.fate != "failed" and one.reason != "truncated"]
    if result.name != Rephrase.name or not read:
        return {}
    rows = []
    for style in (*sorted({one.fields["style"] for one in read}), "all"):
        chosen = [one for one in read if style in ("all", one.fields["style"])]
        loses, invents = (sum(one.reason == reason for one in chosen) for reason in ("loses facts", "invents facts"))
        good = len(chosen) - loses - invents
        share = round(good / len(chosen), 4)
        rows.append(
            {"style": style, "read": len(chosen), "faithful": good, "loses": loses, "invents": invents, "share": share}
        )
    hint = "Rewritings that were read; those that invent facts may lose some, too. Numbers, dates, citations, case "
    hint += "numbers and names are compared."
    return {"title": "Faithfulness", "hint": hint, "head": list(rows[0]), "rows": rows}
