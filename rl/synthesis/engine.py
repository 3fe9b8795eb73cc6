"""Runs the steps of a recipe over all records: each record is asked about once, whatever happens in between.

Answers go through the journal of ``rl.inference``, each on the disk before the next request of its place. All else is
computed again from them on a resume, so that a run that was killed writes the same files as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewards.judge.client import fitting
from rl.errors import USER_ERRORS
from rl.inference.backend import Answer, Ask, Backend, RefusedAnswer
from rl.inference.journal import Journal, write_lines
from rl.synthesis.prompts import Asked
from rl.synthesis.records import Dropped, Failed, Fields, Outcome, Record, StepResult, Usage
from rl.synthesis.step import AskingStep, LookingStep, Step


@dataclass(frozen=True)
class Asker:
    """Who is asked, and how."""

    backend: Backend
    model: str
    temperature: float
    max_tokens: int


class Engine:
    """Runs steps and writes what became of every record."""

    def __init__(
        self,
        folder: Path,
        askers: Mapping[str, Asker],
        seed: int,
        begin: Callable[[str], None] = lambda name: None,
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        """
        Args:
            folder: of the run.
            askers: ``teacher`` and ``judge``.
            seed: of the requests.
            begin: called with the name of each step.
            notice: shows a sentence to the user.
        """
        self.folder, self.askers, self.seed, self.begin, self.notice = folder, askers, seed, begin, notice

    def run(self, number: int, step: Step | AskingStep, records: Sequence[Record]) -> StepResult:
        """One step over all records; ``number`` is its place in the recipe.

        Raises:
            UserError: if the teacher is gone; what it has answered is kept.
        """
        self.begin(step.name)
        usage = Usage()
        if isinstance(step, LookingStep):
            step.look(records)
        if isinstance(step, AskingStep):
            found = self._ask(f"{number:02d}-{step.name}", step, records, usage)
        else:
            found = {record.id: _decided(record, {"step": step.name}, lambda r: step.run(r)) for record in records}
        return self.write(number, step.name, [found[record.id] for record in records], usage)

    def write(self, number: int, name: str, outcomes: Sequence[Outcome], usage: Usage | None = None) -> StepResult:
        """Keep what became of the records, sorted by id."""
        result = StepResult(name, sorted(outcomes, key=lambda outcome: outcome.id), usage or Usage())
        lines = (outcome.to_json() for outcome in result.outcomes)
        write_lines(self.folder / "steps" / f"{number:02d}-{name}.jsonl", lines)
        return result

    def _ask(self, file: str, step: AskingStep, records: Sequence[Record], usage: Usage) -> dict[str, Outcome]:
        who = self.askers[step.asks]
        questions, found = _questions(step, records)
        by_id = {record.id: record for record in records}
        asks = [
            Ask(
                f"{file}/{name}", (("user", question.text()),), temperature=who.temperature,
                max_tokens=who.max_tokens, seed=self.seed,
            )
            for name, question in questions.items()
        ]  # fmt: skip

        def done(ask: Ask, answers: list[Answer]) -> None:
            record = by_id[ask.key.partition("/")[2]]
            asked, (answer,) = questions[record.id], answers
            usage.requests += 1
            usage.prompt_tokens += answer.prompt_tokens
            usage.completion_tokens += answer.completion_tokens
            entry = {"step": step.name, "prompt": asked.version, "model": who.model, "seed": self.seed}
            found[record.id] = _decided(
                record, entry, lambda r: step.read(r, read_answer(answer, step.schema, asked.material))
            )

        journal = Journal(who.backend, self.folder / "answers", notice=self.notice, bound=who.model, at_once=True)
        journal.generate(asks, done)
        return found


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
    if isinstance(answer, RefusedAnswer):
        raise Failed("refused by the server", answer.refused)
    if answer.truncated:
        raise Dropped("truncated", f"the answer ends at {answer.completion_tokens} tokens")
    try:
        return fitting(answer.text, schema, material)
    except ValueError as error:
        raise Failed("no answer of the asked form", str(error)) from None


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
