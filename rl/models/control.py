"""Text as token ids without control tokens: the words of a user, document or completion never end a turn.

Control tokens are the special tokens of the vocabulary (begin and end of sequence, padding, turn markers), the stop
tokens, and the tokens that the chat template writes around messages. Their text within a message is encoded in two
parts, neither of which is the token. The tags of reasoning and answer are not control tokens: the policy must write
them, and prompts may mention them. The encoding of text without control tokens does not change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from rl.errors import UserError
from rl.models.stops import PROBE, marked_ids, stop_ids
from rl.models.template import chat_text, state_of

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of text, without special tokens around it or control tokens in it."""
    return encode_parts(tokenizer, text_parts(tokenizer, text))


def special_tags(tokenizer: Any) -> list[str]:
    """Tags that a tokenizer has as special tokens, so that programs which skip special tokens drop them."""
    return [
        token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.content in TAGS
    ]


def text_parts(tokenizer: Any, text: str) -> list[str]:
    """Text in the parts that are encoded one by one, so that no control token is in it."""
    return _parts(text, _control(tokenizer, state_of(tokenizer)))


def chat_parts(tokenizer: Any, messages: Sequence[Mapping[str, str]], text: str) -> list[str]:
    """The same for a prompt, which the template has written as ``text``; the template's control tokens stay whole."""
    control = _control(tokenizer, state_of(tokenizer))
    parts = [_parts(message["content"], control) for message in messages]
    if all(len(some) == 1 for some in parts):
        return [text]
    border = next(mark for mark in map(_mark, count(1)) if mark not in text)
    broken = [{**message, "content": border.join(some)} for message, some in zip(messages, parts, strict=True)]
    return chat_text(tokenizer, broken, generation=True).split(border)


def _mark(length: int) -> str:
    return "\ufdd0" + "\ufdd1" * length  # characters that Unicode reserves as not being text


def _parts(text: str, control: re.Pattern[str]) -> list[str]:
    """Text cut after the first character of each control token's text."""
    found, begin = [], 0
    while match := control.search(text, begin):
        found.append(text[begin : match.start() + 1])
        begin = match.start() + 1
    return [*found, text[begin:]]


def encode_parts(tokenizer: Any, parts: Sequence[str]) -> list[int]:
    return [token for part in parts for token in tokenizer.encode(part, add_special_tokens=False)]


@lru_cache(maxsize=16)
def _control(tokenizer: Any, state: object) -> re.Pattern[str]:
    """Matches the text of each control token of a tokenizer in this state."""
    marked = marked_ids(tokenizer)
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    ids = special | set(tokenizer.all_special_ids) | stop_ids(tokenizer) | _written(tokenizer)
    texts = sorted({marked[token] for token in ids if token in marked} - {*TAGS})
    # One character can't be cut. An empty pattern would match everywhere; this one matches nowhere.
    return re.compile("|".join(re.escape(text) for text in texts if len(text) > 1) or r"(?!)")


def _written(tokenizer: Any) -> set[int]:
    """Tokens that the template writes around messages."""
    system, user, assistant = ({"role": role, "content": PROBE} for role in ("system", "user", "assistant"))
    found: set[int] = set()
    for messages in ([user, assistant, user], [system, user]):
        try:
            found.update(encode_parts(tokenizer, [chat_text(tokenizer, messages, generation=True)]))
        except UserError:  # a template that does not accept such messages
            continue
    return found
