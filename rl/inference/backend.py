"""What answers questions: an engine on this machine or a served model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

KEY_ENV = "OPENAI_API_KEY"
"""Environment variable of the key that a server is given, unless another is named."""
Messages = tuple[tuple[str, str], ...]
"""A conversation: (role, content), role being ``system``, ``user`` or ``assistant``."""


@dataclass(frozen=True)
class Ask:
    """One conversation to complete."""

    key: str
    """Unique among what is asked at once."""
    messages: Messages
    samples: int = 1
    """Answers wanted."""
    temperature: float = 0.0
    max_tokens: int = 1024
    """Of one answer, thinking included."""
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """One completion, thinking and answer apart."""

    text: str
    """The answer: what follows the thinking."""
    thinking: str = ""
    completion_tokens: int = 0
    prompt_tokens: int = 0
    truncated: bool = False
    """Whether it ended at ``max_tokens``."""


class Backend(Protocol):
    """Completes conversations; batches, shards and orders them as suits it."""

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """Complete all; ``done`` is called once for each as it completes, in any order, from the calling thread.

        Raises:
            UserError: naming what failed and the mend, after every ask that did complete has been handed to ``done``.
        """

    def count_tokens(self, messages: Messages) -> int:
        """Tokens of the prompt that the conversation makes (an estimate where the tokenizer can't be had)."""

    def close(self) -> None:
        """Let go of engines and connections."""
