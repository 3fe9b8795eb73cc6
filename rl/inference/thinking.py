"""Thinking and answer of a completion kept apart."""

from rl.inference.backend import Answer
from rl.models.chat import THINK, THOUGHT


def parted(completion: str, opened: bool = False) -> tuple[str, str]:
    """(thinking, answer) of a completion; ``opened`` says that the chat template wrote ``<think>`` into the prompt.

    What a completion thinks without coming to an end is thinking, and its answer is empty. A completion that closes
    what it never opened was opened by its prompt, whether that is known or not.
    """
    before, closed, after = completion.rpartition(THOUGHT)
    if closed:
        return before.strip().removeprefix(THINK).strip(), after.strip()
    if opened:
        return completion.removeprefix(THINK).strip(), ""
    before, begun, after = completion.partition(THINK)
    return (after.strip(), before.strip()) if begun else ("", completion.strip())


def whole(answer: Answer) -> str:
    """A completion as a model that marks its thinking writes it."""
    return f"{THINK}{answer.thinking}{THOUGHT}{answer.text}" if answer.thinking else answer.text


def prediction(text: str) -> str:
    """What an answer gives to be scored: the content of its last ``<answer>…</answer>``, or all of it without one."""
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    return text if start < 0 else text[start + len("<answer>") : end].strip()
