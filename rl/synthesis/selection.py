"""Which questions are worth training on: no copies, no test questions, none that a policy always or never solves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from curricula.cleaning import Duplicates
from curricula.contamination import Contamination
from curricula.contamination import Record as TrainingRecord
from curricula.meta import PASS_RATE
from rewards.total import score
from rewards.verdict import Sample
from rl.config.synthesis import ContaminationStep, CopiesStep, PassRateStep
from rl.evaluation.benchmark_questions import questions
from rl.evaluation.benchmarks import BENCHMARKS
from rl.synthesis.records import Dropped, Failed, Fields, Record
from rl.synthesis.step import Context

SELECTING = ("copies", "same_meaning", "contamination", "pass_rate")
"""Steps that select questions, for ``grpo.jsonl``."""


class Copies:
    """Near-duplicates (MinHash, then true similarity) of an earlier record; records come in the order of their ids."""

    name = "copies"
    in_order = True

    def __init__(self, options: CopiesStep, context: Context) -> None:
        self.seen = Duplicates(options.similarity, on_disk=True)
        self.kept: list[str] = []

    def run(self, record: Record) -> Fields:
        copy = self.seen.copy_of(asked(record))
        if copy is not None:
            reason, number = copy
            raise Dropped(reason.replace("_", " "), f"kept is {self.kept[number]}")
        self.kept.append(record.id)
        return {}


class ContaminationCheck:
    """Test questions of benchmarks in a record."""

    name = "contamination"
    in_order = True

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


class PassRate:
    """Share of right answers among completions of the policy, by the reward ``accuracy``, as a GRPO stage sees it. A
    question without a reference goes on without one."""

    name = "pass_rate"
    asks: Literal["policy"] = "policy"

    def __init__(self, options: PassRateStep, context: Context) -> None:
        self.samples = options.samples

    def question(self, record: Record) -> str:
        text: str = record.fields["question"] if "reference" in record.fields else ""
        return text

    def weigh(self, record: Record, completions: Sequence[str]) -> Fields:
        fields = record.fields
        kind = fields.get("answer_kind", "text")
        verdicts = [
            score("accuracy", Sample(fields["question"], said, fields["reference"], kind)) for said in completions
        ]
        if errors := [verdict.error for verdict in verdicts if verdict.error is not None]:
            raise Failed("answers not scored", errors[0])
        right = sum(verdict.score or 0.0 for verdict in verdicts)
        if not 0 < right < len(verdicts):
            raise Dropped("always solved" if right else "never solved", f"{right:g} of {len(verdicts)}")
        return {PASS_RATE: right / len(verdicts)}


def as_trained(record: Record) -> TrainingRecord:
    """All that training would see of a record."""
    chain = record.fields.get("chain", {})
    question = asked(record)
    more = (record.fields.get("reference", ""), chain.get("reasoning", ""), chain.get("answer", ""))
    return TrainingRecord(record.id, question, "\n".join((question, *more)))


def asked(record: Record) -> str:
    """The question, or the document where there is none yet."""
    text: str = record.fields.get("question") or record.fields["text"]
    return text
