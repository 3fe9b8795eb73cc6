"""What goes through a recipe: a record with its lineage, and what a step decides about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Fields = dict[str, Any]
Fate = Literal["kept", "dropped", "failed"]


@dataclass(frozen=True)
class Record:
    """A document, or a question that was made from one, with all that the steps have found."""

    id: str
    """``<document>``, then ``<document>-q01``: 12 digits of the text's SHA-256, and the number of the question."""
    fields: Fields
    """What the steps found, by name."""
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
        """The line of the step's file."""
        line: Fields = {"id": self.id, "fate": self.fate}
        if self.reason:
            line |= {"reason": self.reason, "detail": self.detail, "source": self.fields.get("source", "")}
        if self.made:
            line["made"] = [
                {"id": one.id, "fields": found(self.fields, one.fields), "lineage": one.lineage[-1]}
                for one in self.made
            ]
        return line


def found(before: Fields, after: Fields) -> Fields:
    """What a step found: the fields that are new or changed, of an object its new parts."""
    new = {name: value for name, value in after.items() if before.get(name) != value}
    return {
        name: found(before[name], value) if isinstance(value, dict) and isinstance(before.get(name), dict) else value
        for name, value in new.items()
    }


@dataclass(frozen=True)
class StepResult:
    """What a step did to all records, sorted by id."""

    name: str
    outcomes: Sequence[Outcome]
    usage: Usage = field(default_factory=Usage)
    report: Sequence[Fields] = ()
    """What the step itself says for the card."""

    @property
    def kept(self) -> list[Record]:
        """The records that go on."""
        return [record for outcome in self.outcomes for record in outcome.made]

    def count(self, fate: Fate) -> int:
        """Records of a fate."""
        return sum(outcome.fate == fate for outcome in self.outcomes)

    def reasons(self) -> dict[str, int]:
        """How many were dropped or failed for each reason, by ``fate: reason``."""
        lost = (f"{one.fate}: {one.reason}" for one in self.outcomes if one.fate != "kept")
        return dict(sorted(Counter(lost).items()))
