"""Many texts at once as token ids: the same ids as one by one, in compact arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from curricula.errors import together
from curricula.prompts import Prompt
from curricula.rows import SHOWN
from rl.errors import UserError
from rl.models.chat import THINK, opens_thinking
from rl.token_cache import FOLDER, KEPT_FROM, Example, Ids, read, write

Progress = Callable[[int], None]
"""Given the number of texts that are tokenized."""

CHUNK = 512
"""Texts tokenized at once, which bounds the memory that the tokenizer's own results take."""
PROBES = (
    [{"role": "user", "content": "问"}],
    [{"role": role, "content": "问"} for role in ("system", "user", "assistant", "user")],
)
"""Chats whose rendering stands for the template and all that it depends on, such as its arguments and the date."""


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> Iterator[Ids]:
    """Token ids of plain texts, without special tokens around them, in order."""
    for start in range(0, len(texts), CHUNK):
        part = list(texts[start : start + CHUNK])
        for ids in tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]:
            yield np.asarray(ids, dtype=np.int32)


def encode_prompts(tokenizer: Any, prompts: Sequence[Prompt], progress: Progress = lambda done: None) -> list[Ids]:
    """What :func:`rl.models.chat.render_prompt` makes of each prompt. Large sets are kept for the next start.

    Raises:
        UserError: if the chat template can't render one, naming the first and how many.
    """
    return [ids for ids, _ in _encoded(tokenizer, prompts, False, progress)]


def encode_demonstrations(
    tokenizer: Any, prompts: Sequence[Prompt], progress: Progress = lambda done: None
) -> list[Example]:
    """What :func:`rl.models.chat.render_demonstration` makes of each prompt. Raises as :func:`encode_prompts` does."""
    return _encoded(tokenizer, prompts, True, progress)


def _encoded(tokenizer: Any, prompts: Sequence[Prompt], whole: bool, progress: Progress) -> list[Example]:
    digests = [_digest([prompt.messages, prompt.demonstration if whole else None]) for prompt in prompts]
    once = dict(zip(reversed(digests), reversed(prompts), strict=True))  # the first of equal ones
    once = dict(reversed(once.items()))
    keep = len(once) >= KEPT_FROM and getattr(tokenizer, "backend_tokenizer", None) is not None
    order = sorted(once)  # so that every seed, which shuffles, finds the same set
    path = FOLDER / f"{_digest([_identity(tokenizer), whole, order])}.npz" if keep else None
    kept = read(path, len(order)) if path else None
    if kept is not None:
        found = dict(zip(order, kept, strict=True))
        progress(len(prompts))
    else:
        found = dict(zip(once, _tokenized(tokenizer, list(once.values()), whole, progress), strict=True))
        if path:
            write(path, [found[digest] for digest in order])
    return [found[digest] for digest in digests]


def _tokenized(tokenizer: Any, prompts: Sequence[Prompt], whole: bool, progress: Progress) -> list[Example]:
    found: list[Example] = []
    problems: list[str] = []
    opened: dict[tuple[int, ...], bool] = {}

    def opens(head: Ids) -> bool:
        tail = tuple(head[-8:].tolist())
        if tail not in opened:
            opened[tail] = opens_thinking(tokenizer, head.tolist())
        return opened[tail]

    for start in range(0, len(prompts), CHUNK):
        part = prompts[start : start + CHUNK]
        texts = []
        for prompt in part:
            try:
                texts.append(_prompt_text(tokenizer, prompt.messages))
            except UserError as error:
                problems.append(f"{prompt.name}: {error}")
        if problems:
            progress(start + len(part))
            continue
        heads = list(encode_texts(tokenizer, texts))
        if whole:
            answers = [prompt.demonstration or "" for prompt in part]
            answers = [a.removeprefix(THINK) if opens(h) else a for a, h in zip(answers, heads, strict=True)]
            end = np.asarray([tokenizer.eos_token_id], dtype=np.int32)
            pairs = zip(heads, encode_texts(tokenizer, answers), strict=True)
            found += [(np.concatenate([head, answer, end]), len(head)) for head, answer in pairs]
        else:
            found += [(head, len(head)) for head in heads]
        progress(start + len(part))
    if problems:
        raise UserError(together(problems[:SHOWN], len(problems), len(prompts), "prompts can't be rendered"))
    return found


def _prompt_text(tokenizer: Any, messages: Sequence[dict[str, str]]) -> str:
    return str(tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False))


def _identity(tokenizer: Any) -> list[Any]:
    """All that decides which ids a tokenizer makes of a chat."""
    import tokenizers
    import transformers

    probes = []
    for messages in PROBES:
        try:
            probes.append(_prompt_text(tokenizer, messages))
        except Exception as error:  # a template may refuse a system message in a way of its own
            probes.append(repr(error))
    return [
        tokenizers.__version__,
        transformers.__version__,
        type(tokenizer).__name__,
        tokenizer.backend_tokenizer.to_str(),
        tokenizer.chat_template,
        tokenizer.eos_token_id,
        bool(tokenizer.split_special_tokens),
        probes,
    ]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
