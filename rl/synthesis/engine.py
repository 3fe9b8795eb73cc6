"""Runs the steps of a recipe over all records: each record is asked about once, whatever happens in between.

Records pass one by one, or by windows where answers are waited for, so that memory does not grow with their texts.
Answers go through the journal of ``rl.inference``, each on the disk before the next request of its place. All else is
computed again from them on a resume, so that a run that was killed writes the same files as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from rewards.judge.client import fitting
from rl.errors import USER_ERRORS
from rl.inference.backend import Answer, Ask, Backend, RefusedAnswer
from rl.inference.journal import Journal
from rl.inference.progress import Metered, Pace
from rl.inference.thinking import whole
from rl.synthesis.records import Dropped, Failed, Fields, Outcome, Record, Usage
from rl.synthesis.results import StepResult
from rl.synthesis.step import AnyStep, AskingStep, LookingStep, ReportingStep, SamplingStep, Step
from rl.synthesis.teacher_texts import require_readable

WINDOW = 1024
"""Fewest records that are asked about before their outcomes are written."""
ROUNDS = 16
"""Requests of a window for each that is in flight: at the end of a window some places wait for its longest answer."""
T = TypeVar("T")


@dataclass(frozen=True)
class Asker:
    """Who is asked, and how."""

    backend: Backend
    model: str
    temperature: float
    max_tokens: int
    in_flight: int = 1
    """Requests that it answers at once."""
    price_in: float = 0.0
    """Of a million prompt tokens; ``price_out`` of a million tokens of answers."""
    price_out: float = 0.0


@dataclass(frozen=True)
class Question:
    """What is asked about a record."""

    text: str
    entry: Fields
    """Of the record's lineage."""
    read: Callable[[Sequence[Answer]], Fields]
    """What the record gets by the answers; raises Dropped or Failed."""


Decide = Callable[[Step, Iterable[Record]], Iterator[Outcome]]
"""(step, records) -> what becomes of each record, in their order."""


class Engine:
    """Runs steps and writes what became of every record."""

    def __init__(
        self,
        folder: Path,
        askers: Mapping[str, Asker],
        seed: int,
        console: Console | None = None,
        decide: Decide | None = None,
    ) -> None:
        """
        Args:
            folder: of the run.
            askers: by what a step ``asks``.
            seed: of the requests.
            console: shows how far a step is, and notices; None shows nothing.
            decide: runs steps that ask nothing; None does it in this process.
        """
        self.decide = decide or decided_here
        self.folder, self.askers, self.seed, self.console = folder, askers, seed, console or Console(quiet=True)
        self.spent = 0.0
        """Cost of all answers so far."""

    def run(self, number: int, step: AnyStep, before: StepResult) -> StepResult:
        """One step over what the step before it kept; ``number`` is its place in the recipe.

        Raises:
            UserError: if the teacher is gone; what it has answered is kept.
        """
        result = StepResult(number, step.name, self.folder)
        with Pace(self.console, step.name, len(before.kept), lambda: self.spent) as pace:
            if isinstance(step, LookingStep):
                step.look(before.kept)
            if isinstance(step, AskingStep | SamplingStep):
                outcomes = self._asked(result, step, before.kept, pace)
            else:
                outcomes = self.decide(step, before.kept)
            result.after(before, _advancing(outcomes, pace))
        result.report = step.report() if isinstance(step, ReportingStep) else ()
        return result

    def _asked(
        self, result: StepResult, step: AskingStep | SamplingStep, records: Iterable[Record], pace: Pace
    ) -> Iterator[Outcome]:
        who = self.askers[step.asks]
        if isinstance(who.backend, Metered):
            who.backend.pace = pace
        notice = partial(self.console.print, style="yellow")
        journal = Journal(who.backend, self.folder / "answers", notice=notice, bound=who.model, at_once=True)
        left = iter(records)
        while window := list(islice(left, max(WINDOW, ROUNDS * who.in_flight))):
            yield from self._window(result, step, who, journal, window)
        journal.settle(result.path.stem)

    def _window(
        self,
        result: StepResult,
        step: AskingStep | SamplingStep,
        who: Asker,
        journal: Journal,
        window: Sequence[Record],
    ) -> Iterator[Outcome]:
        found: dict[str, Outcome] = {}
        questions: dict[str, tuple[Record, Question]] = {}
        for record in window:
            question = _attempted(record, partial(self._question, step, who))
            if isinstance(question, Question):
                questions[f"{result.path.stem}/{record.id}"] = record, question
            else:
                found[record.id] = question or _gone_on(record, {}, {"step": step.name})

        def done(ask: Ask, answers: list[Answer]) -> None:
            record, question = questions[ask.key]
            self._note(who, answers, result.usage)
            found[record.id] = _decided(record, lambda _: question.read(answers), question.entry)

        samples = step.samples if isinstance(step, SamplingStep) else 1
        sampling = (samples, who.temperature, who.max_tokens)
        journal.part(
            [Ask(key, (("user", one.text),), *sampling, seed=self.seed) for key, (_, one) in questions.items()], done
        )
        return (found[record.id] for record in window)

    def _question(self, step: AskingStep | SamplingStep, who: Asker, record: Record) -> Question | None:
        """What a step asks about a record; None for one that goes on as it is. Raises as the step does."""
        entry: Fields = {"step": step.name}
        sampled = {"model": who.model, "seed": self.seed}
        if isinstance(step, SamplingStep):
            text = step.question(record)
            entry |= {"samples": step.samples} | sampled
            return Question(text, entry, lambda answers: step.weigh(record, _completions(answers))) if text else None
        asked = step.asked(record)
        if asked is None:
            return None
        schema, material = step.schema, asked.material
        read = partial(step.read, record)
        entry |= {"prompt": asked.version} | sampled
        return Question(asked.text(), entry, lambda answers: read(read_answer(answers[0], schema, material)))

    def _note(self, who: Asker, answers: Sequence[Answer], usage: Usage) -> None:
        prompt, completion = answers[0].prompt_tokens, sum(answer.completion_tokens for answer in answers)
        usage.requests += 1
        usage.prompt_tokens += prompt
        usage.completion_tokens += completion
        self.spent += (prompt * who.price_in + completion * who.price_out) / 1e6


def _advancing(outcomes: Iterable[Outcome], pace: Pace) -> Iterator[Outcome]:
    for outcome in outcomes:
        yield outcome
        pace.advance()


def decided_here(step: Step, records: Iterable[Record]) -> Iterator[Outcome]:
    """What becomes of the records at a step that asks nothing, in their order."""
    return (decision(step, record) for record in records)


def decision(step: Step, record: Record) -> Outcome:
    """What becomes of one record."""
    return _decided(record, step.run, {"step": step.name})


def read_answer(answer: Answer, schema: dict[str, Any], material: Sequence[str]) -> Fields:
    """The object in an answer.

    Raises:
        Dropped: if the answer was cut off, or holds a text that no file of a run may hold.
        Failed: if there is none, or the server refused.
    """
    if _given(answer).truncated:
        raise Dropped("truncated", f"the answer ends at {answer.completion_tokens} tokens")
    try:
        found = fitting(answer.text, schema, material)
    except ValueError as error:
        raise Failed("no answer of the asked form", str(error)) from None
    require_readable(found)
    return found


def _completions(answers: Sequence[Answer]) -> list[str]:
    return [whole(_given(answer)) for answer in answers]


def _given(answer: Answer) -> Answer:
    if isinstance(answer, RefusedAnswer):
        raise Failed("refused by the server", answer.refused)
    return answer


def _decided(record: Record, decide: Callable[[Record], Fields | list[Fields]], entry: Fields) -> Outcome:
    found = _attempted(record, decide)
    return found if isinstance(found, Outcome) else _gone_on(record, found, entry)


def _gone_on(record: Record, found: Fields | list[Fields], entry: Fields) -> Outcome:
    if isinstance(found, list):
        made = tuple(record.followed(one, entry, f"-q{place:02d}") for place, one in enumerate(found, 1))
    else:
        made = (record.followed(found, entry),)
    return Outcome(record.id, "kept", record.fields, made=made)


def _attempted(record: Record, make: Callable[[Record], T]) -> T | Outcome:
    """What is made of a record, or what became of one that does not go on."""
    try:
        return make(record)
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
