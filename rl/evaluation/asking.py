"""Questions of a benchmark as conversations, with as many worked examples as fit."""

from __future__ import annotations

from collections.abc import Callable

from rl.evaluation.benchmark import Question
from rl.inference.backend import Messages


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

    The last examples are left out until prompt and answer fit into ``max_length``. Without any, the answer has what the
    question leaves of it.

    Raises:
        TooLong: if that is nothing.
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
