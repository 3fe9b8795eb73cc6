"""Elements of a judgment with their values, units, origin and place, and their JSON schema."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import jsonschema

Origin = Literal["rule", "model"]


@dataclass(frozen=True)
class Element:
    """One fact in a judgment."""

    name: str
    """A key of ``VALUES``."""
    value: Any
    """In the form that ``VALUES`` has for the name."""
    start: int
    end: int
    """Characters ``start`` to ``end`` (exclusive) of the text, where it says so."""
    origin: Origin = "rule"

    def to_json(self) -> dict[str, Any]:
        """In the form that the document has."""
        return {"value": self.value, "origin": self.origin, "start": self.start, "end": self.end}


TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
DATE = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
AMOUNT = {"type": "number", "minimum": 0}
TEXTS = {"type": "array", "items": TEXT, "maxItems": 100}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


CIRCUMSTANCES = (
    "surrender", "merit", "confession", "plea", "recidivism", "record", "compensation", "forgiveness", "restitution",
    "accessory", "principal", "attempt", "minor", "excessive_defence", "victim_fault",
)  # fmt: skip
OUTCOMES = (
    "granted",
    "partly_granted",
    "dismissed",
    "withdrawn",
    "affirmed",
    "amended",
    "remanded",
    "convicted",
    "acquitted",
    "confirmed",
    "commuted",
)
KINDS = ("fixed", "detention", "surveillance", "life", "death", "exempt", "acquitted", "fine_only")

VALUES: dict[str, dict[str, Any]] = {
    "court": TEXT,
    "case_number": TEXT,
    "document": {"enum": ["判决书", "裁定书", "调解书", "决定书"]},
    "cause": TEXT,
    "party": _object(role=TEXT, name=TEXT, formerly=_or_null(TEXT)),
    "charge": TEXT,
    "article": _object(
        law=TEXT, article={"type": "string", "pattern": "^第[0-9]+条(之[0-9]+)?$"},
        paragraph=_or_null({"type": "integer", "minimum": 0}), item=_or_null({"type": "integer", "minimum": 0}),
    ),
    "sentence": _object(
        defendant=TEXT, charges=TEXTS, kind={"enum": list(KINDS)}, months=_or_null(AMOUNT),
        probation_months=_or_null(AMOUNT), reprieve_months=_or_null(AMOUNT), fine_yuan=_or_null(AMOUNT),
    ),
    "reduction": _object(defendant=TEXT, months=_or_null(AMOUNT)),
    "circumstance": _object(kind={"enum": list(CIRCUMSTANCES)}, defendants=TEXTS, present={"type": "boolean"}),
    "payment": _object(payers=TEXTS, payees=TEXTS, yuan=AMOUNT, about={"type": "boolean"}),
    "claim": _object(yuan=AMOUNT, about={"type": "boolean"}),
    "court_fee": _object(yuan=AMOUNT, about={"type": "boolean"}),
    "outcome": {"enum": list(OUTCOMES)},
    "judge": _object(role=TEXT, name=TEXT),
    "judgment_date": DATE,
    "date": DATE,
}  # fmt: skip
"""Value of each element by its name. Terms are in months (30 days a month), sums in yuan."""

_PLACE = {"type": "integer", "minimum": 0}
SCHEMA = _object(
    kind={"enum": ["criminal", "civil", "administrative", "other"]},
    judgment={"type": "boolean"},
    instance=_or_null({"enum": ["first", "second", "retrial", "review", "commutation"]}),
    complete={"type": "boolean"},
    length=_PLACE,
    sections={"type": "array", "items": _object(name=TEXT, start=_PLACE, end=_PLACE)},
    elements={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {
                "type": "array",
                "items": _object(value=value, origin={"enum": ["rule", "model"]}, start=_PLACE, end=_PLACE),
            }
            for name, value in VALUES.items()
        },
    },
)
"""JSON schema of a structured document."""

_VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in VALUES.items()}
_DOCUMENT = jsonschema.Draft202012Validator(SCHEMA)


def fault(name: str, value: Any) -> str | None:
    """What is wrong with the value of an element; None if nothing is."""
    if name not in _VALIDATORS:
        return f"{name} is no element"
    error = next(_VALIDATORS[name].iter_errors(value), None)
    return None if error is None else f"{name}: {error.message[:200]}"


def check_document(document: dict[str, Any]) -> None:
    """
    Raises:
        ValueError: if a document does not fit ``SCHEMA``, or a place is outside the text.
    """
    error = next(_DOCUMENT.iter_errors(document), None)
    if error is not None:
        raise ValueError(f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}")
    for name, found in document["elements"].items():
        for element in found:
            if not 0 <= element["start"] <= element["end"] <= document["length"]:
                raise ValueError(f"{name} at {element['start']} to {element['end']} is outside the text")


def number(value: Fraction) -> int | float:
    """An exact number as a JSON value: whole, or to two places."""
    return int(value) if value.denominator == 1 else round(float(value), 2)
