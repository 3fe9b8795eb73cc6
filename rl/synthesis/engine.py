"""Runs the steps of a recipe over all records: each record is asked about once, whatever happens in between.

Answers go through the journal of ``rl.inference``, each on the disk before the next request of its place. All else is
computed again from them on a resume, so that a run that was killed writes the same files as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewards.judge.client import fitting
from rl.errors import USER_ERRORS
from rl.inference.backend import Answer, Ask, Backend, RefusedAnswer
from rl.inference.journal import Journal, write_lines
from rl.inference.thinking import whole
from rl.synthesis.prompts import Asked
from rl.synthesis.records import Dropped, Failed, Fields, Outcome, Record, StepResult, Usage
from rl.synthesis.step import AnyStep, AskingStep, LookingStep, ReportingStep, SamplingStep, Step


@dataclass(frozen=True)
class Asker:
    """Who is asked, and how."""

    backend: Backend
    model: str
    temperature: float
    max_tokens: int


Decide = Callable[[Step, Sequence[Record]], Iterable[Outcome]]
"""(step, records) -> what becomes of each record, in any order."""


class Engine:
    """Runs steps and writes what became of every record."""

    def __init__(
        self,
        folder: Path,
        askers: Mapping[str, Asker],
        seed: int,
        begin: Callable[[str], None] = lambda name: None,
        notice: Callable[[str], None] = lambda text: None,
        decide: Decide | None = None,
    ) -> None:
        """
        Args:
            folder: of the run.
            askers: ``teacher`` and ``judge``.
            seed: of the requests.
            begin: called with the name of each step.
            notice: shows a sentence to the user.
            decide: runs steps that ask nothing; None does it in this process.
        """
        self.decide = decide or decided_here
        self.folder, self.askers, self.seed, self.begin, self.notice = folder, askers, seed, begin, notice

    def run(self, number: int, step: AnyStep, records: Sequence[Record]) -> StepResult:
        """One step over all records; ``number`` is its place in the recipe.

        Raises:
            UserError: if the teacher is gone; what it has answered is kept.
        """
        self.begin(step.name)
        usage = Usage()
        file = f"{number:02d}-{step.name}"
        if isinstance(step, LookingStep):
            step.look(records)
        if isinstance(step, AskingStep):
            found = self._ask(file, step, records, usage)
        elif isinstance(step, SamplingStep):
            found = self._sample(file, step, records, usage)
        else:
            found = {outcome.id: outcome for outcome in self.decide(step, records)}
        report = step.report() if isinstance(step, ReportingStep) else ()
        return self.write(number, step.name, [found[record.id] for record in records], usage, report)

    def write(
        self,
        number: int,
        name: str,
        outcomes: Sequence[Outcome],
        usage: Usage | None = None,
        report: Sequence[Fields] = (),
    ) -> StepResult:
        """Keep what became of the records, sorted by id."""
        result = StepResult(name, sorted(outcomes, key=lambda outcome: outcome.id), usage or Usage(), report)
        lines = (outcome.to_json() for outcome in result.outcomes)
        write_lines(self.folder / "steps" / f"{number:02d}-{name}.jsonl", lines)
        return result

    def _ask(self, file: str, step: AskingStep, records: Sequence[Record], usage: Usage) -> dict[str, Outcome]:
        who = self.askers[step.asks]
        questions, unasked = _questions(step, records)

        def decide(record: Record, answers: list[Answer]) -> Outcome:
            asked, (answer,) = questions[record.id], answers
            entry = {"step": step.name, "prompt": asked.version, "model": who.model, "seed": self.seed}
            return _decided(record, entry, lambda r: step.read(r, read_answer(answer, step.schema, asked.material)))

        texts = {name: question.text() for name, question in questions.items()}
        return unasked | self._answered(file, who, texts, 1, records, decide, usage)

    def _sample(self, file: str, step: SamplingStep, records: Sequence[Record], usage: Usage) -> dict[str, Outcome]:
        who = self.askers[step.asks]
        texts = {record.id: step.question(record) for record in records}
        unasked = {one.id: _decided(one, {"step": step.name}, lambda r: {}) for one in records if not texts[one.id]}

        def decide(record: Record, answers: list[Answer]) -> Outcome:
            entry = {"step": step.name, "samples": step.samples, "model": who.model, "seed": self.seed}
            return _decided(record, entry, lambda r: step.weigh(r, [whole(_given(answer)) for answer in answers]))

        asked = {name: text for name, text in texts.items() if text}
        return unasked | self._answered(file, who, asked, step.samples, records, decide, usage)

    def _answered(
        self,
        file: str,
        who: Asker,
        texts: Mapping[str, str],
        samples: int,
        records: Sequence[Record],
        decide: Callable[[Record, list[Answer]], Outcome],
        usage: Usage,
    ) -> dict[str, Outcome]:
        """What became of the records of ``texts``, by id."""
        by_id = {record.id: record for record in records}
        asks = [
            Ask(f"{file}/{name}", (("user", text),), samples, who.temperature, who.max_tokens, seed=self.seed)
            for name, text in texts.items()
        ]
        found: dict[str, Outcome] = {}

        def done(ask: Ask, answers: list[Answer]) -> None:
            record = by_id[ask.key.partition("/")[2]]
            usage.requests += 1
            usage.prompt_tokens += answers[0].prompt_tokens
            usage.completion_tokens += sum(answer.completion_tokens for answer in answers)
            found[record.id] = decide(record, answers)

        journal = Journal(who.backend, self.folder / "answers", notice=self.notice, bound=who.model, at_once=True)
        journal.generate(asks, done)
        return found


def decided_here(step: Step, records: Sequence[Record]) -> Iterator[Outcome]:
    """What becomes of the records at a step that asks nothing, in their order."""
    return (decision(step, record) for record in records)


def decision(step: Step, record: Record) -> Outcome:
    """What becomes of one record."""
    return _decided(record, {"step": step.name}, step.run)


def _questions(step: AskingStep, records: Sequence[Record]) -> tuple[dict[str, Asked], dict[str, Outcome]]:
    """What is asked, and what became of the records that are not asked about."""
    asked: dict[str, Asked] = {}

    def prepared(record: Record) -> Fields:
        question = step.asked(record)
        if question is not None:
            asked[record.id] = question
        return {}

    outcomes = {record.id: _decided(record, {"step": step.name}, prepared) for record in records}
    return asked, {name: outcome for name, outcome in outcomes.items() if name not in asked}


def read_answer(answer: Answer, schema: dict[str, Any], material: Sequence[str]) -> Fields:
    """The object in an answer.

    Raises:
        Dropped: if the answer was cut off.
        Failed: if there is none, or the server refused.
    """
    if _given(answer).truncated:
        raise Dropped("truncated", f"the answer ends at {answer.completion_tokens} tokens")
    try:
        return fitting(answer.text, schema, material)
    except ValueError as error:
        raise Failed("no answer of the asked form", str(error)) from None


def _given(answer: Answer) -> Answer:
    if isinstance(answer, RefusedAnswer):
        raise Failed("refused by the server", answer.refused)
    return answer


def _decided(record: Record, entry: Fields, decide: Callable[[Record], Fields | list[Fields]]) -> Outcome:
    try:
        found = decide(record)
    except Failed as error:
        return Outcome(record.id, "failed", record.fields, error.reason, error.detail)
    except Dropped as error:
        return Outcome(record.id, "dropped", record.fields, error.reason, error.detail)
    except TimeoutError:
        return Outcome(record.id, "failed", record.fields, "a parser took too long")
    except (*USER_ERRORS, OSError):
        raise
    except Exception as error:  # of a text that nobody thought of: counted, with its reason, and the run goes on
        return Outcome(record.id, "failed", record.fields, "the step failed", f"{type(error).__name__}: {error}")
    if isinstance(found, list):
        made = tuple(record.followed(one, entry, f"-q{place:02d}") for place, one in enumerate(found, 1))
    else:
        made = (record.followed(found, entry),)
    return Outcome(record.id, "kept", record.fields, made=made)
