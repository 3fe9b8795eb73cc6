"""Which questions are worth training on: no copies, and no test questions of benchmarks."""

from __future__ import annotations

from pathlib import Path

from curricula.cleaning import Duplicates
from curricula.contamination import Contamination
from curricula.contamination import Record as TrainingRecord
from rl.config.synthesis import ContaminationStep, CopiesStep
from rl.evaluation.benchmark_questions import questions
from rl.evaluation.benchmarks import BENCHMARKS
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.step import Context

SELECTING = ("copies", "contamination")
"""Steps that select questions, for ``grpo.jsonl``."""


class Copies:
    """Near-duplicates (MinHash, then true similarity) of an earlier record; records come in the order of their ids."""

    name = "copies"

    def __init__(self, options: CopiesStep, context: Context) -> None:
        self.seen = Duplicates(options.similarity, on_disk=True)
        self.kept: list[str] = []

    def run(self, record: Record) -> Fields:
        copy = self.seen.copy_of(_asked(record))
        if copy is not None:
            reason, number = copy
            raise Dropped(reason.replace("_", " "), f"kept is {self.kept[number]}")
        self.kept.append(record.id)
        return {}


class ContaminationCheck:
    """Test questions of benchmarks in a record."""

    name = "contamination"

    def __init__(self, options: ContaminationStep, context: Context) -> None:
        """
        Raises:
            UserError: for an unknown benchmark, damaged data, or if there is no data at all.
        """
        self.drop, self.share = options.drop, options.share
        found = questions(options.benchmarks or tuple(BENCHMARKS), Path(options.root))
        self.search = Contamination(found, similarity=options.similarity)
        self.found: dict[str, set[str]] = {}
        """The questions that were found, by benchmark."""
        self.records: dict[str, int] = {}
        """The records that hold one, by benchmark."""

    def run(self, record: Record) -> Fields:
        hits = self.search.hits(as_trained(record), self.share)
        names = [f"{hit.task} question {hit.id}" for hit in hits]
        benchmarks = sorted({hit.task.partition(" ")[0] for hit in hits})
        for benchmark in benchmarks:
            own = {name for name, hit in zip(names, hits, strict=True) if hit.task.startswith(f"{benchmark} ")}
            self.found.setdefault(benchmark, set()).update(own)
            self.records[benchmark] = self.records.get(benchmark, 0) + 1
        if hits and self.drop:
            raise Dropped(f"test question of {', '.join(benchmarks)}", "; ".join(names))
        return {"overlap": names} if hits else {}

    def report(self) -> list[Fields]:
        """Overlap by benchmark, those without any included."""
        tasks = [item.task.partition(" ")[0] for item in self.search.found.items]
        return [
            {
                "benchmark": name,
                "questions": tasks.count(name),
                "found": len(self.found.get(name, ())),
                "records": self.records.get(name, 0),
            }
            for name in dict.fromkeys(tasks)
        ]


def as_trained(record: Record) -> TrainingRecord:
    """All that training would see of a record."""
    chain = record.fields.get("chain", {})
    asked = _asked(record)
    more = (record.fields.get("reference", ""), chain.get("reasoning", ""), chain.get("answer", ""))
    return TrainingRecord(record.id, asked, "\n".join((asked, *more)))


def _asked(record: Record) -> str:
    """The question, or the document where there is none yet."""
    text: str = record.fields.get("question") or record.fields["text"]
    return text
