"""What a step is: a small pure part of a recipe. The engine asks, counts and keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    Failed for a record that does not go on. A step that remembers the records before sets ``in_order``; it gets all of
    them, in the order of their ids.
    """

    name: str

    def run(self, record: Record) -> Fields | list[Fields]: ...


@runtime_checkable
class ReportingStep(Protocol):
    """Has something to say for the card about all the records that it saw."""

    def report(self) -> list[Fields]: ...


@runtime_checkable
class LookingStep(Protocol):
    """Looks at all records before it decides about each."""

    def look(self, records: Iterable[Record]) -> None:
        """They come from the disk, in the order of their ids, and may be gone through several times."""


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


@runtime_checkable
class SamplingStep(Protocol):
    """Samples the policy on one record, as training does, and decides by the completions."""

    name: str
    asks: Literal["policy"]
    samples: int

    def question(self, record: Record) -> str:
        """The user's message; empty for a record that goes on unasked."""

    def weigh(self, record: Record, completions: Sequence[str]) -> Fields:
        """What the record gets; raises Dropped or Failed."""


AnyStep = Step | AskingStep | SamplingStep
