"""What a step did to all records. They stay on the disk; what is in memory are counts, and how to read them again.

The file of a step holds what the step found, in the order of the ids. A record is put together again from the files of
all steps before it, which are read side by side; what was read from the input lies in a file without a name, because
the run folder must not hold what the recipe masks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from curricula.cleaning import TextsOnDisk
from rl.inference.json_lines import write_lines
from rl.synthesis.records import Fate, Fields, Outcome, Record, Usage

T = TypeVar("T")


class Stream(Generic[T]):
    """A known number of things that are read from the disk each time they are gone through."""

    def __init__(self, read: Callable[[], Iterable[T]], size: int) -> None:
        self.read, self.size = read, size

    def __iter__(self) -> Iterator[T]:
        return iter(self.read())

    def __len__(self) -> int:
        return self.size


class StepResult:
    """What a step did to all records, sorted by id."""

    def __init__(self, number: int, name: str, folder: Path, usage: Usage | None = None) -> None:
        """``number`` is the step's place in the recipe, ``folder`` that of the run."""
        self.name, self.path = name, folder / "steps" / f"{number:02d}-{name}.jsonl"
        self.usage = usage or Usage()
        self.report: Sequence[Fields] = ()
        """What the step itself says for the card."""
        self.of_documents = True
        """Whether all that goes on are documents, and nothing was made from one."""
        self._fates: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._made = 0
        self._again: Callable[[], Iterable[Outcome]] = tuple

    def write(self, outcomes: Iterable[Outcome], again: Callable[[], Iterable[Outcome]] | None = None) -> StepResult:
        """Write the step's file.

        Args:
            outcomes: what became of each record, in the order of the ids.
            again: gives the same outcomes once more, now from the disk.
        """
        write_lines(self.path, map(self._counted, outcomes))
        self._again = again or self._again
        return self

    def after(self, before: StepResult, outcomes: Iterable[Outcome]) -> StepResult:
        """Write the file of a step that got what an earlier one kept."""

        def again() -> Iterator[Outcome]:
            return (Outcome.from_json(record, line) for record, line in zip(before.kept, self.lines(), strict=True))

        return self.write(outcomes, again)

    def _counted(self, outcome: Outcome) -> Fields:
        self._fates[outcome.fate] += 1
        self._made += len(outcome.made)
        if outcome.fate != "kept":
            self._lost[f"{outcome.fate}: {outcome.reason}"] += 1
        self.of_documents &= not any("-" in one.id for one in outcome.made)
        return outcome.to_json()

    def lines(self) -> Iterator[Fields]:
        """The lines of the step's file."""
        with self.path.open("rb") as file:
            yield from map(json.loads, file)

    @property
    def outcomes(self) -> Stream[Outcome]:
        """What became of each record."""
        return Stream(self._again, self._fates.total())

    @property
    def kept(self) -> Stream[Record]:
        """The records that go on."""
        return Stream(lambda: (one for outcome in self._again() for one in _sorted(outcome.made)), self._made)

    @property
    def lost(self) -> Stream[Fields]:
        """The lines of the records that do not."""
        return Stream(lambda: (one for one in self.lines() if one["fate"] != "kept"), self._lost.total())

    def count(self, fate: Fate) -> int:
        """Records of a fate."""
        return self._fates[fate]

    def reasons(self) -> dict[str, int]:
        """How many were dropped or failed for each reason, by ``fate: reason``."""
        return dict(sorted(self._lost.items()))


def read_result(folder: Path, outcomes: Iterable[Outcome]) -> StepResult:
    """What was read, which comes in the order of the input. In memory are the ids: 0.1 kB a record."""
    folder.mkdir(parents=True, exist_ok=True)
    texts, ids = TextsOnDisk(folder), list[str]()
    for outcome in outcomes:
        ids.append(outcome.id)
        texts.append(json.dumps([outcome.fate, outcome.fields, outcome.reason, outcome.detail], ensure_ascii=False))
    order = sorted(range(len(ids)), key=ids.__getitem__)

    def again() -> Iterator[Outcome]:
        return (_read(ids[place], *json.loads(texts[place])) for place in order)

    return StepResult(0, "read", folder).write(again(), again)


def _read(name: str, fate: Fate, fields: Fields, reason: str, detail: str) -> Outcome:
    made = (Record(name, fields, ({"step": "read"},)),) if fate == "kept" else ()
    return Outcome(name, fate, fields, reason, detail, made)


def _sorted(made: tuple[Record, ...]) -> Sequence[Record]:
    """Records made from one, of which -q100 comes before -q11."""
    return made if len(made) < 2 else sorted(made, key=lambda one: one.id)
