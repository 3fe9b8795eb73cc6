"""Many texts at once as token ids: the same ids as one by one, in compact arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from curricula.errors import together
from curricula.prompts import Prompt
from curricula.rows import SHOWN
from rl.errors import UserError
from rl.models.chat import answer_text, closes_thinking, opens_thinking, prompt_parts
from rl.models.control import text_parts
from rl.models.stops import stop_ids, turn_end

Ids = np.ndarray
"""int32 [T], token ids of one text."""
Example = tuple[Ids, int]
"""(token ids, length of the prompt part)."""
CHUNK = 512
"""Most texts tokenized at once."""
CHARACTERS = 1_000_000
"""Most characters of a chunk, because the tokenizer's own results take some 100 bytes for each."""
PROBES = (("user",), ("system", "user"), ("user", "assistant", "user"))
"""Chats whose ids identify the template and all that it depends on, such as its arguments and the date."""
PROBE = " 问<|im_end|><think>\n"


def encode_texts(tokenizer: Any, texts: Iterable[str]) -> Iterator[Ids]:
    """Token ids of plain texts, without special tokens around them, in order."""
    return _joined(tokenizer, (text_parts(tokenizer, text) for text in texts))


def encode_prompts(tokenizer: Any, prompts: Sequence[Prompt]) -> list[Ids]:
    """Token ids of each prompt by :func:`rl.models.chat.render_prompt`.

    Raises:
        UserError: if the chat template can't render one, naming the first and how many.
    """
    return list(_joined(tokenizer, _rendered(tokenizer, prompts)))


def encode_demonstrations(tokenizer: Any, prompts: Sequence[Prompt]) -> list[Example]:
    """The result of :func:`rl.models.chat.render_demonstration` for each prompt. Raises as :func:`encode_prompts`."""
    answer, heads = _Answers(tokenizer), encode_prompts(tokenizer, prompts)
    texts = (answer.text(head, prompt) for head, prompt in zip(heads, prompts, strict=True))
    pairs = zip(heads, encode_texts(tokenizer, texts), strict=True)
    return [(np.concatenate([head, ids, answer.end]), len(head)) for head, ids in pairs]


def _rendered(tokenizer: Any, prompts: Sequence[Prompt]) -> list[list[str]]:
    found: list[list[str]] = []
    problems: list[str] = []
    for prompt in prompts:
        try:
            found.append(prompt_parts(tokenizer, prompt.messages))
        except UserError as error:
            problems.append(f"{prompt.name}: {error}")
    if problems:
        raise UserError(together(problems[:SHOWN], len(problems), len(prompts), "prompts can't be rendered"))
    return found


def _joined(tokenizer: Any, texts: Iterable[list[str]]) -> Iterator[Ids]:
    """Token ids of texts in parts, each part encoded separately."""
    for chunk in _chunks(texts):
        parts = [part for text in chunk for part in text]
        encoded = iter(tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"])
        for text in chunk:
            yield np.asarray([token for _ in text for token in next(encoded)], dtype=np.int32)


def _chunks(texts: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    chunk: list[list[str]] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += sum(map(len, text))
        if len(chunk) == CHUNK or size >= CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _Answers:
    """The text after a prompt in a demonstration; each ending of a prompt is examined once, as most end alike."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.end = np.asarray([turn_end(tokenizer)], dtype=np.int32)
        self._ends: dict[tuple[int, ...], tuple[bool, bool]] = {}

    def text(self, head: Ids, prompt: Prompt) -> str:
        tail = tuple(head[-8:].tolist())
        if tail not in self._ends:
            self._ends[tail] = opens_thinking(self.tokenizer, tail), closes_thinking(self.tokenizer, tail)
        return answer_text(self.tokenizer, *self._ends[tail], prompt)


def identity(tokenizer: Any) -> list[Any]:
    """All that decides which ids a tokenizer makes of a chat, as JSON values."""
    import tokenizers
    import transformers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    probes: list[Any] = []
    for roles in PROBES:
        messages = tuple({"role": role, "content": PROBE} for role in roles)
        try:
            probes.append(prompt_parts(tokenizer, messages))
            ((ids, head),) = encode_demonstrations(tokenizer, [Prompt("", messages, "", demonstration=PROBE)])
            probes += [ids.tolist(), head]
        except Exception as error:  # templates refuse a system message in different ways
            probes.append(repr(error))
    return [
        tokenizers.__version__,
        transformers.__version__,
        type(tokenizer).__name__,
        backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items(), key=repr)),
        tokenizer.chat_template,
        sorted(stop_ids(tokenizer)),
        bool(tokenizer.split_special_tokens),
        probes,
    ]
