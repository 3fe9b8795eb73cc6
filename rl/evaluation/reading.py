"""Answers as people read them: without the tags that programs read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl.inference.thinking import parted

TAGS = re.compile(r"\s*(?:</?(?:think|answer)>|<\|[\w\-]+\|>)\s*")
"""Tags of thinking and answer, and the marks of a chat's turns."""


@dataclass(frozen=True)
class Readable:
    """One answer."""

    thinking: str
    text: str


def readable(answer: Mapping[str, Any]) -> Readable:
    """An answer of a run without its tags. Thinking that stands in the answer is told apart from it."""
    inside, text = parted(str(answer.get("text", "")))
    thinking = (_plain(str(answer.get("thinking", ""))), _plain(inside))
    return Readable("\n".join(part for part in thinking if part), _plain(text))


def _plain(text: str) -> str:
    return TAGS.sub("\n", text).strip()
