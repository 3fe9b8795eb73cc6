"""Questions of benchmarks asked of a backend: as conversations, with as many worked examples as fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rl.evaluation.benchmark import Question
from rl.inference.backend import Answer, Ask, Messages
from rl.inference.journal import Journal
from rl.inference.model_options import Sampling


@dataclass
class TaskRun:
    """A task in progress: its questions and their answers."""

    name: str
    questions: Sequence[Question]
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict)
    """By the question's id."""
    too_long: int = 0
    """Questions that can't be asked."""
    shots_left_out: int = 0
    """Questions asked with fewer worked examples."""


class TooLong(ValueError):
    """A question that leaves no room for an answer even without examples."""


def conversation(question: Question, shots: int) -> Messages:
    """A question after its first ``shots`` worked examples."""
    head = (("system", question.system),) if question.system else ()
    examples = [
        turn for user, assistant in question.shots[:shots] for turn in (("user", user), ("assistant", assistant))
    ]
    return (*head, *examples, ("user", question.prompt))


def fitted(
    question: Question, count_tokens: Callable[[Messages], int], max_length: int | None, max_tokens: int
) -> tuple[Messages, int]:
    """(conversation, number of worked examples in it).

    The last examples are left out until prompt and answer fit into ``max_length``. A question that doesn't fit without
    examples either is asked all the same: its answer has the tokens that are left.

    Raises:
        TooLong: if no token is left.
    """
    shots = len(question.shots)
    messages = conversation(question, shots)
    if max_length is None:
        return messages, shots
    length = count_tokens(messages)
    while shots and length + max_tokens > max_length:
        shots -= 1
        messages = conversation(question, shots)
        length = count_tokens(messages)
    if length >= max_length:
        raise TooLong(f"question {question.id} has {length} tokens of {max_length}")
    return messages, shots


def answer(
    tasks: Mapping[str, TaskRun],
    journal: Journal,
    max_length: int | None,
    sampling: Sampling,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Ask every question; the tasks then read their answers from the journal's files. All tasks are asked together, so
    that engines stay full.

    Args:
        tasks: tasks by the first part of their questions' keys, which names their file in the journal.
        journal: what answers.
        max_length: longest prompt and answer together (tokens); None where it is not known.
        sampling: how answers are drawn.
        done: called for each question that is answered, or can't be asked.
    """

    def asks() -> Iterator[Ask]:
        for name, task in tasks.items():
            for question in task.questions:
                try:
                    messages, shots = fitted(question, journal.count_tokens, max_length, sampling.max_tokens)
                except TooLong:
                    task.too_long += 1
                    done()
                    continue
                task.shots_left_out += shots < len(question.shots)
                yield sampling.ask(f"{name}/{question.id}", messages)

    def keep(ask: Ask, answers: list[Answer]) -> None:
        done()

    journal.generate(asks(), keep)
    for name, task in tasks.items():
        task.answers = journal.answers(name)
