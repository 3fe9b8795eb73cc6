"""What a text of the teacher must be before a file of a run may hold it.

Every text of an answer must be one that the readers of :mod:`curricula` take. A question or a rewriting, which no
``filter`` may look at again, must also be prose: something to see, no tokens of a chat template, mostly Chinese.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import regex

from rewards.rules.language import language
from rewards.verdict import Sample
from rl.synthesis.records import Dropped, Fields

LONGEST = 40_000
"""Characters of a text: four times the longest passage that is rewritten."""
LONGEST_QUESTION = 4_000
"""Characters of a question, which a prompt must hold beside its answer."""
MOSTLY = 0.5
"""Smallest share of Chinese among the letters of a question or a rewriting. A chain needs more (``filter``)."""

_REFUSED = regex.compile(r"[\x00\uD800-\uDFFF]")
"""NUL and halves of a surrogate pair, for which a reader refuses a whole file."""
_UNSEEN = regex.compile(r"[\s\p{Z}\p{C}]+")
_MARKS = regex.compile(
    r"</?(?:think|answer)>|```|^\s*[{\[]\s*\""
    r"|<[|｜][^|｜<>]{1,40}[|｜]>|<(?:start|end)_of_turn>|\[/?INST\]",  # of chat templates
    regex.MULTILINE,
)


def require_readable(answer: Fields) -> None:
    """Raises Dropped if a text of an answer holds characters that no reader takes, or is longer than ``LONGEST``."""
    for name, text in _texts(answer):
        if bad := _REFUSED.search(text):
            raise Dropped("unreadable characters", f"{name}: U+{ord(bad[0]):04X} at character {bad.start() + 1}")
        _require_length(text, LONGEST, f"{name}: ")


def require_prose(text: str, longest: int = LONGEST) -> None:
    """Raises Dropped if a text is blank, too long, holds marks of another format, or is mostly not Chinese."""
    _require_length(text, longest)
    if not seen(text):
        raise Dropped("blank", f"{len(text)} characters, none of which is seen")
    require_unbroken(text)
    require_chinese(text, MOSTLY)


def require_unbroken(text: str) -> None:
    """Raises Dropped if a text holds tags, tokens of a chat template, fences of code, or JSON."""
    if mark := _MARKS.search(text):
        raise Dropped("broken structure", f"holds {mark[0].strip()!r}")


def require_chinese(text: str, least: float) -> None:
    """Raises Dropped if the share of Chinese among the letters is smaller."""
    share = language(Sample("", text, "")).score or 0.0
    if share < least:
        raise Dropped("other language", f"{share:.0%} Chinese")


def seen(text: str) -> str:
    """A text without white space and characters that are not seen, such as those of no width."""
    return _UNSEEN.sub("", text)


def _require_length(text: str, longest: int, where: str = "") -> None:
    if len(text) > longest:
        raise Dropped("too long", f"{where}{len(text):,} characters, at most {longest:,}")


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(name of the part, text) of all texts in JSON values."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, name)
    elif isinstance(value, dict):
        for part, one in value.items():
            yield from _texts(one, part)
