"""A prompt with its ground truth."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from curricula.meta import Meta

AnswerKind = Literal["choice", "article", "charge", "number", "text"]
"""How an answer is compared with the reference (see ``rewards.rules.accuracy``)."""


@dataclass(frozen=True)
class Prompt:
    """One question for the policy, its reference answer and, for SFT, a demonstration."""

    task: str
    """Name of the task it belongs to."""
    messages: tuple[dict[str, str], ...]
    """Chat messages, each with ``role`` and ``content``; the last is the user's question."""
    reference: str
    """Ground truth, as it would stand inside ``<answer>``; the JSON text of a list if it has several parts."""
    answer_kind: AnswerKind = "text"
    """How the answer is compared with the reference."""
    demonstration: str | None = None
    """A whole completion, ``<think>…</think><answer>…</answer>``."""
    meta: Meta = field(default_factory=dict, compare=False)
    """What is known about it, such as its source; see ``curricula.meta``."""
    where: str = field(default="", compare=False, repr=False)
    """File and line it was read from, for messages; empty for a generated one."""

    @cached_property
    def uid(self) -> str:
        """16 hexadecimal digits that stay the same as long as question and reference do."""
        content = json.dumps([self.task, self.messages, self.reference], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Its name in messages: where it was read from, else its task and uid."""
        return self.where or f"prompt {self.uid} (task {self.task})"

    def to_json(self) -> dict[str, Any]:
        """The prompt as JSON values, in the format of ``curricula.records``."""
        record = asdict(self)
        del record["where"]
        if not self.meta:
            del record["meta"]
        record["prompt"] = list(record.pop("messages"))
        return record


def ask(task: str, question: str, reference: str, answer_kind: AnswerKind = "text", think: str | None = None) -> Prompt:
    """A single-turn prompt; with ``think`` it gets a demonstration of this reasoning and the reference."""
    demonstration = None if think is None else f"<think>{think}</think><answer>{reference}</answer>"
    return Prompt(task, ({"role": "user", "content": question},), reference, answer_kind, demonstration)
