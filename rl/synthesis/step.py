"""What a step is: a small pure part of a recipe. The engine asks, counts and keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from rl.synthesis.prompts import Asked
from rl.synthesis.records import Fields, Record


@dataclass(frozen=True)
class Context:
    """What all steps may know of the run."""

    seed: int
    queries: Sequence[str] = ()
    """Real queries of users."""
    index_cache: Path | None = None
    """Folder of the retriever's index."""


class Step(Protocol):
    """Decides about one record by itself.

    ``run`` returns what the record gets, or a list of such for several records made from one. It raises Dropped or
    Failed for a record that does not go on.
    """

    name: str

    def run(self, record: Record) -> Fields | list[Fields]: ...


@runtime_checkable
class LookingStep(Protocol):
    """Looks at all records before it decides about each."""

    def look(self, records: Sequence[Record]) -> None: ...


@runtime_checkable
class AskingStep(Protocol):
    """Asks about one record, and decides by the answer."""

    name: str
    asks: Literal["teacher", "judge"]
    schema: dict[str, Any]
    """Form of the answer."""

    def asked(self, record: Record) -> Asked | None:
        """What is asked; None for a record that goes on as it is. Raises Dropped for one that does not go on."""

    def read(self, record: Record, answer: Fields) -> Fields:
        """What the record gets; raises Dropped or Failed."""
