"""What goes through a recipe: a record with its lineage, and what a step decides about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Fields = dict[str, Any]
Fate = Literal["kept", "dropped", "failed"]


@dataclass(frozen=True)
class Record:
    """A document, or a question that was made from one, with all that the steps have found."""

    id: str
    """``<document>``, then ``<document>-q01``: 12 digits of the text's SHA-256, and the number of the question."""
    fields: Fields
    """What the steps found, by name: JSON values. A step may add to an object, and takes nothing out of one."""
    lineage: tuple[Fields, ...] = ()
    """One entry for each step: its name, and for an asking one prompt version, model and seed."""

    def followed(self, made: Fields, entry: Fields, suffix: str = "") -> Record:
        """The record after a step."""
        return Record(self.id + suffix, self.fields | made, (*self.lineage, entry))


class Dropped(Exception):
    """A step looked at a record and does not keep it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """``reason`` is the same words for all such records, ``detail`` what is so in this one."""
        super().__init__(reason)
        self.reason, self.detail = reason, detail


class Failed(Dropped):
    """A step could not look at a record: no readable document, no answer that could be read."""


@dataclass
class Usage:
    """Tokens of requests."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, price_in: float, price_out: float) -> float:
        """By the prices of a million tokens of prompts and of answers."""
        return (self.prompt_tokens * price_in + self.completion_tokens * price_out) / 1e6


@dataclass(frozen=True)
class Outcome:
    """What became of one record at one step."""

    id: str
    fate: Fate
    fields: Fields
    """What the record was known by before the step."""
    reason: str = ""
    detail: str = ""
    made: tuple[Record, ...] = ()
    """What goes on: the record with what the step found, or several that it made from it."""

    def to_json(self) -> Fields:
        """The line of the step's file.

        Raises:
            TypeError: if a step took something out of a record, which the line can't say.
        """
        line: Fields = {"id": self.id, "fate": self.fate}
        if self.reason:
            line |= {"reason": self.reason, "detail": self.detail, "source": self.fields.get("source", "")}
        if self.made:
            line["made"] = [{"id": one.id, "fields": self._found(one), "lineage": one.lineage[-1]} for one in self.made]
        return line

    def _found(self, record: Record) -> Fields:
        new = found(self.fields, record.fields)
        if merged(self.fields, new) != record.fields:
            raise TypeError(f"{record.lineage[-1]['step']} took something out of {self.id}; a step only adds")
        return new

    @classmethod
    def from_json(cls, record: Record, line: Fields) -> Outcome:
        """What became of a record, by the line of the step's file."""
        made = tuple(
            Record(one["id"], merged(record.fields, one["fields"]), (*record.lineage, one["lineage"]))
            for one in line.get("made", ())
        )
        return cls(record.id, line["fate"], record.fields, line.get("reason", ""), line.get("detail", ""), made)


def found(before: Fields, after: Fields) -> Fields:
    """What a step found: the fields that are new or changed, of an object its new parts."""
    new = {name: value for name, value in after.items() if name not in before or before[name] != value}
    return {
        name: found(before[name], value) if isinstance(value, dict) and isinstance(before.get(name), dict) else value
        for name, value in new.items()
    }


def merged(before: Fields, new: Fields) -> Fields:
    """The fields after a step that found ``new``: what :func:`found` was made from."""
    changed = {
        name: merged(before[name], value) if isinstance(value, dict) and isinstance(before.get(name), dict) else value
        for name, value in new.items()
    }
    return before | changed
