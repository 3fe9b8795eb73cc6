"""A completion split into thinking and answer."""

from rl.inference.backend import Answer
from rl.models.chat import THINK, THOUGHT


def parted(completion: str, opened: bool = False) -> tuple[str, str]:
    """(thinking, answer) of a completion; ``opened`` says that the chat template wrote ``<think>`` into the prompt.

    Thinking that does not end leaves an empty answer. A completion with ``</think>`` alone was opened by its prompt,
    even where ``opened`` doesn't say so.
    """
    before, closed, after = completion.rpartition(THOUGHT)
    if closed:
        return before.strip().removeprefix(THINK).strip(), after.strip()
    if opened:
        return completion.removeprefix(THINK).strip(), ""
    before, begun, after = completion.partition(THINK)
    return (after.strip(), before.strip()) if begun else ("", completion.strip())


def whole(answer: Answer) -> str:
    """The completion again, with its thinking between marks."""
    return f"{THINK}{answer.thinking}{THOUGHT}{answer.text}" if answer.thinking else answer.text


def prediction(text: str) -> str:
    """The part of an answer that is scored: the content of its last ``<answer>…</answer>``, or all without one."""
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    return text if start < 0 else text[start + len("<answer>") : end].strip()
