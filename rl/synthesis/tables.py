"""The tables of a data card that only some recipes have."""

from __future__ import annotations

from collections.abc import Sequence

from rl.synthesis.records import Fields, StepResult
from rl.synthesis.rephrasing import Rephrase


def tables(results: Sequence[StepResult]) -> list[Fields]:
    """Title, hint, head and rows of each."""
    return [table for result in results if (table := faithfulness(result))]


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
