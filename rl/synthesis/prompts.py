"""What a teacher is asked: versioned templates, the texts of others fenced, and the form of the answer.

The marks around a text depend on all texts of the request. A request can thus be made again to the byte, which a cache
and a resume need. Who writes a document can't find one that holds its own marks: they are a SHA-256 over the document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from string import Template
from typing import Any

from rewards.judge.fences import NOTICE, SIZE, fenced, without_control

FOLDER = Path(__file__).parent / "templates"
LONGEST = 12_000
"""Characters of one text in a request; the middle of a longer one is left out."""


@dataclass(frozen=True)
class Asked:
    """What is asked about one record."""

    prompt: str
    """Name of the template."""
    texts: Mapping[str, str]
    """Texts of others, by slot; each is fenced."""
    words: Mapping[str, str]
    """Our own words, by slot."""

    @property
    def version(self) -> str:
        """The template's version and the start of the SHA-256 of its wording."""
        return load(self.prompt)[0]

    @property
    def material(self) -> list[str]:
        """The texts of others, as the teacher is shown them."""
        return [_shown(text) for text in self.texts.values()]

    def text(self) -> str:
        """The text of the request."""
        _, template = load(self.prompt)
        words = {name: said.replace("$", "$$") for name, said in self.words.items()}
        body = Template(template.safe_substitute(words))
        texts = {name: _shown(text) for name, text in self.texts.items()}
        marks = _marks(body.template, *texts.values())
        return fenced(body, texts, "zh", lambda: next(marks))


def _shown(text: str) -> str:
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n……（中间略去{len(text) - LONGEST}字）……\n{text[-LONGEST // 2 :]}"
    return without_control(text)


def _marks(*texts: str) -> Iterator[str]:
    known = "\x1f".join(texts)
    return (hashlib.sha256(f"{number}\x1f{known}".encode()).hexdigest()[: 2 * SIZE] for number in count())


@lru_cache(maxsize=32)
def load(name: str) -> tuple[str, Template]:
    """(version, template) of a prompt of this package. The first line of the file is its version."""
    raw = (FOLDER / f"{name}.zh.txt").read_text(encoding="utf-8")
    head, _, body = raw.partition("\n")
    digest = hashlib.sha256((raw + NOTICE["zh"]).encode()).hexdigest()[:8]
    return f"{head.removeprefix('version:').strip()}-{digest}", Template(body)


def shown(value: str | list[str] | list[dict[str, Any]]) -> str:
    """A finding for a prompt: text as it is, texts as numbered lines, articles with their places."""
    if isinstance(value, str):
        return value
    lines = (one if isinstance(one, str) else f"{one['place']}：{one['text']}" for one in value)
    return "\n".join(f"{place}. {line}" for place, line in enumerate(lines, 1))


def texts_schema(*names: str) -> dict[str, Any]:
    """JSON schema of an answer of texts."""
    return _object({name: {"type": "string", "minLength": 1} for name in names})


def lists_schema(*names: str, most: int = 12) -> dict[str, Any]:
    """JSON schema of an answer of lists of texts."""
    one = {"type": "string", "minLength": 1}
    return _object({name: {"type": "array", "items": one, "minItems": 1, "maxItems": most} for name in names})


def points_schema(lowest: int, highest: int, *names: str) -> dict[str, Any]:
    """JSON schema of an answer of points and a reason."""
    points = {"type": "integer", "minimum": lowest, "maximum": highest}
    return _object({"reason": {"type": "string"}} | dict.fromkeys(names, points))


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
