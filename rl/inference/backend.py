"""What answers questions: an engine on this machine, a served model, or the policy of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

KEY_ENV = "OPENAI_API_KEY"
"""Environment variable that holds the key of a server, unless another is named."""
Messages = tuple[tuple[str, str], ...]
"""A conversation: (role, content), the role being ``system``, ``user`` or ``assistant``."""


@dataclass(frozen=True)
class Ask:
    """One conversation to complete."""

    key: str
    """Unique among the asks of one call."""
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


@dataclass(frozen=True)
class SampledAnswer(Answer):
    """An answer with its tokens, as training needs it."""

    token_ids: list[int] = field(default_factory=list)
    """[T], the stop token included when it was sampled."""
    log_probs: list[float] = field(default_factory=list)
    """[T], under the policy and temperature that sampled the tokens."""


@dataclass(frozen=True)
class RefusedAnswer(Answer):
    """No answer: the server refuses the question."""

    refused: str = ""
    """Why, as the server says it."""


class Backend(Protocol):
    """Completes conversations; it may put them into batches, spread them and reorder them."""

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """Complete all. ``done`` is called once for each as it completes, in any order, from the calling thread.

        Raises:
            UserError: naming what failed and the fix, after ``done`` was called for every ask that did complete.
        """

    def count_tokens(self, messages: Messages) -> int:
        """Tokens of the prompt that the conversation makes (an estimate where the tokenizer is not known)."""

    def close(self) -> None:
        """Release engines and connections."""
