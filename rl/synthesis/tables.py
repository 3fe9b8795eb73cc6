"""The tables of a data card that only some recipes have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rl.config.synthesis import SynthesisConfig
from rl.inference.backends.served import estimate
from rl.language import Text
from rl.synthesis.choices import AnswerCheck, Select, rl_questions
from rl.synthesis.outputs import written
from rl.synthesis.records import Fields, Record
from rl.synthesis.rephrasing import Rephrase
from rl.synthesis.results import StepResult


def tables(config: SynthesisConfig, results: Sequence[StepResult]) -> list[Fields]:
    """Title, hint, head and rows of each."""
    return [table for table in (*map(faithfulness, results), *map(answers, results), sets(config, results)) if table]


def answers(result: StepResult) -> Fields:
    """How many answers to choice questions chose the right options."""
    if result.name != AnswerCheck.name or not result.outcomes:
        return {}
    checks = Counter(one.made[0].fields["check"] if one.made else "unreadable" for one in result.outcomes)
    rows = [
        {"outcome": name, "records": checks[name], "share": round(checks[name] / len(result.outcomes), 4)}
        for name in ("matched", "unmatched", "unreadable")
    ]
    return {
        "title": Text("Answer check"),
        "hint": Text("Options are compared as sets."),
        "head": list(rows[0]),
        "rows": rows,
    }


def sets(config: SynthesisConfig, results: Sequence[StepResult]) -> Fields:
    """Records and mean tokens of the sets of choice questions, in the shape of Unilaw-R1's table 1."""
    if results[-1].name != Select.name:
        return {}
    rows: list[Fields] = []
    chosen: dict[str, Iterable[Record]] = {"sft": results[-1].kept, "rl": rl_questions(config, results)}
    for name, records in chosen.items():
        counts: Counter[str] = Counter()
        tokens: dict[str, list[Counter[str]]] = {kind: [Counter(), Counter()] for kind in ("single", "multiple", "all")}
        for fields in (one.fields for one in records):
            parts = {part: estimate(text) for part, text in (written(fields) or {"prompt": fields["question"]}).items()}
            for kind in (fields["scenario"], "all"):
                counts[kind] += 1
                tokens[kind][0].update(parts)
                tokens[kind][1].update(parts.keys())
        for kind, (sums, found) in tokens.items():
            means = {
                part: round(sums[part] / found[part]) if found[part] else None for part in ("prompt", "think", "answer")
            }
            rows.append({"set": name, "options": kind, "records": counts[kind], **means})
    hint = Text("Mean tokens, estimated. Half of the RL set was selected for SFT, half was not.")
    return {"title": Text("Sets"), "hint": hint, "head": list(rows[0]), "rows": rows}


def faithfulness(result: StepResult) -> Fields:
    """How many of the rewritings that could be read lose nothing and invent nothing, by style and in all."""
    if result.name != Rephrase.name:
        return {}
    read: Counter[str] = Counter()
    unfaithful: Counter[tuple[str, str]] = Counter()
    for one in result.outcomes:
        if one.fate != "failed" and one.reason != "truncated":
            for style in (one.fields["style"], "all"):
                read[style] += 1
                unfaithful[style, one.reason] += 1
    rows = []
    for style in sorted(read, key=lambda style: (style == "all", style)):
        loses, invents = unfaithful[style, "loses facts"], unfaithful[style, "invents facts"]
        good = read[style] - loses - invents
        share = round(good / read[style], 4)
        rows.append(
            {"style": style, "read": read[style], "faithful": good, "loses": loses, "invents": invents, "share": share}
        )
    if not rows:
        return {}
    hint = Text(
        "Rewritings that were read; those that invent facts may lose some, too. Numbers, dates, citations, case "
        "numbers and names are compared."
    )
    return {"title": Text("Faithfulness"), "hint": hint, "head": list(rows[0]), "rows": rows}
