"""Places of personal data in a text, and which of two that overlap counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "person", "id_number", "phone", "bank_account", "plate", "address", "email", "passport", "account", "credit_code",
]  # fmt: skip


@dataclass(frozen=True)
class Span:
    """A piece of personal data."""

    start: int
    end: int
    """Characters ``start`` to ``end`` (exclusive) of the text."""
    kind: Kind
    value: str
    """In one writing: two places with the same value are the same person, number or address."""


def apart(*found: Iterable[Span]) -> list[Span]:
    """The spans that overlap none of an earlier group, nor one before them in their own, by place."""
    kept: list[Span] = []
    taken: set[int] = set()
    for group in found:
        for span in sorted(group, key=lambda one: (one.start, -one.end)):
            places = range(span.start, span.end)
            if taken.isdisjoint(places):
                taken.update(places)
                kept.append(span)
    return sorted(kept, key=lambda one: one.start)
