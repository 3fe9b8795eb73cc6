"""What a server sent as its completions. Any server, proxy or page behind an address may answer with status 200."""

from __future__ import annotations

from typing import Any


def texts_of(reply: Any, count: int = 1) -> list[Any]:
    """The choices of a reply, each with a message whose content is text or missing.

    Raises:
        ValueError: if the reply is no list of ``count`` completions.
    """
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list):
        raise ValueError(f"the server sent no completion but {shown(reply)}")
    if len(choices) != count:
        raise ValueError(f"the server sent {len(choices)} of {count} completions")
    for choice in choices:
        message = getattr(choice, "message", None)
        if message is None or not isinstance(getattr(message, "content", None), str | None):
            raise ValueError(f"the server sent a completion without a text: {shown(message)}")
    return choices


def usage_of(reply: Any) -> tuple[int, int] | None:
    """Tokens of prompt and completions together; None where the server does not say."""
    used = getattr(reply, "usage", None)
    found = getattr(used, "prompt_tokens", None), getattr(used, "completion_tokens", None)
    return found if all(type(one) is int and one >= 0 for one in found) else None  # type: ignore[return-value]


def shown(reply: Any) -> str:
    """The beginning of what was sent, in one line."""
    return " ".join(repr(reply)[:120].split())
