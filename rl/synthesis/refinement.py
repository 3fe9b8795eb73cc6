"""LEAD 3, refinement: references become knowledge, the parts become one chain, and the conclusion stays the same."""

from __future__ import annotations

from typing import Literal

import regex

from rl.config.synthesis import ConvergeStep, InternaliseStep
from rl.synthesis.conclusions import change
from rl.synthesis.prompts import Asked, shown, texts_schema
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.step import Context

PARTS = ("facts", "issues", "deduction", "conclusion")
"""Of a trace, as the refinement sees it."""
_MATERIAL = regex.compile(
    r"(?:根据|依据|按照|结合|参考)(?:所|上述|以上|前述|您|你)?(?:提供|给出|给定|检索)[^，。；\n]{0,6}(?:材料|资料|信息|法条|条文|内容|结果)"
    r"|检索(?:到|结果|所得)|(?:上述|所给|给定|提供的)(?:材料|资料|规程|检索)"
)
"""Words about the material that lay beside the writer."""


def names_material(text: str) -> str:
    """The first words of a text about material that its reader does not have; empty if there are none."""
    match = _MATERIAL.search(text)
    return match[0] if match else ""


class Internalise:
    """The trace as one who knows the law would think it."""

    name = "internalise"
    asks: Literal["teacher"] = "teacher"
    schema = texts_schema(*PARTS)

    def __init__(self, options: InternaliseStep, context: Context) -> None:
        pass

    def asked(self, record: Record) -> Asked:
        trace = record.fields["trace"]
        return Asked(self.name, {"question": record.fields["question"]} | {p: shown(trace[p]) for p in PARTS}, {})

    def read(self, record: Record, answer: Fields) -> Fields:
        if changed := change(record.fields["trace"]["conclusion"], answer["conclusion"], record.fields["kind"]):
            raise Dropped("conclusion changed", changed)
        if words := names_material("\n".join(answer[part] for part in PARTS)):
            raise Dropped("still names the material", words)
        return {"refined": answer}


class Converge:
    """One chain of thought and an answer."""

    name = "converge"
    asks: Literal["teacher"] = "teacher"
    schema = texts_schema("reasoning", "answer")

    def __init__(self, options: ConvergeStep, context: Context) -> None:
        pass

    def asked(self, record: Record) -> Asked:
        fields = record.fields
        parts = fields["refined"] if "refined" in fields else fields["trace"]
        return Asked(self.name, {"question": fields["question"]} | {p: shown(parts[p]) for p in PARTS}, {})

    def read(self, record: Record, answer: Fields) -> Fields:
        if changed := change(record.fields["trace"]["conclusion"], answer["answer"], record.fields["kind"]):
            raise Dropped("conclusion changed", changed)
        if words := names_material("\n".join(answer.values())):
            raise Dropped("still names the material", words)
        return {"chain": {name: said.strip() for name, said in answer.items()}}
