"""Stop tokens, which end a completion: for sampling, for the scored text, and for the demonstrations of SFT."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from rl.errors import UserError
from rl.files import read_json
from rl.models.template import chat_text, state_of

PROBE = "themisprobe"
"""Text of the messages that show what a template writes around them. Only letters, which no template changes."""


def stop_ids(tokenizer: Any) -> frozenset[int]:
    """Ids at which sampling stops: the tokenizer's end of sequence, those that generation_config.json and config.json
    of its folder name, and the token that ends the assistant's turn in its chat template."""
    return _stops(tokenizer, state_of(tokenizer))[0]


def turn_end(tokenizer: Any) -> int:
    """The token that ends the assistant's turn in the chat template, which demonstrations end with.

    It is the first special token that the template writes after an assistant's message; of several in a row, the first
    that is a known stop token. If it writes none, as in ChatGLM's, it is the one that opens the user's next turn if
    that is a known stop token, else the end of sequence.
    """
    return _stops(tokenizer, state_of(tokenizer))[1]


def without_stops(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """Ids without the stop tokens at their end."""
    stops, end = stop_ids(tokenizer), len(ids)
    while end and ids[end - 1] in stops:
        end -= 1
    return list(ids[:end])


def completion_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of a completion, without its stop token."""
    return str(tokenizer.decode(without_stops(tokenizer, ids), skip_special_tokens=False))


def text_without_stops(tokenizer: Any, text: str) -> str:
    """Text without the stop tokens that are spelled out at its end."""
    marked = marked_ids(tokenizer)
    ends = tuple(marked[token] for token in stop_ids(tokenizer) if token in marked)
    while text.rstrip().endswith(ends):
        text = text.rstrip()
        text = text.removesuffix(next(end for end in ends if text.endswith(end)))
    return text


def marked_ids(tokenizer: Any) -> dict[int, str]:
    """Ids of the added and special tokens with their text, without white space."""
    found = {int(token): str(added) for token, added in tokenizer.added_tokens_decoder.items()}
    found |= dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    return {token: text for token, text in found.items() if text.strip()}


@lru_cache(maxsize=16)
def _stops(tokenizer: Any, state: object) -> tuple[frozenset[int], int]:
    """(stop ids, turn end) of a tokenizer in this state."""
    stops = {int(tokenizer.eos_token_id), *_of_files(tokenizer)}
    user, assistant = ({"role": role, "content": PROBE} for role in ("user", "assistant"))
    ending = _marked_after(tokenizer, [user, assistant])
    opening = [] if ending else _marked_after(tokenizer, [user, assistant, user])
    end = next((token for token in ending + opening if token in stops), (*ending, int(tokenizer.eos_token_id))[0])
    return frozenset({*stops, end}), end


def _marked_after(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """The special tokens in a row that the template writes right after the second message."""
    try:
        text = chat_text(tokenizer, messages, generation=False)
    except UserError:  # a template that takes no such messages
        return []
    marked, tail = marked_ids(tokenizer), text.split(PROBE, 2)[-1]
    after = dropwhile(lambda token: token not in marked, tokenizer.encode(tail, add_special_tokens=False))
    return list(takewhile(marked.__contains__, after))


def _of_files(tokenizer: Any) -> set[int]:
    """``eos_token_id`` of generation_config.json, and of config.json where it names a special token.

    Configurations that never set it have a default of their architecture, which may be a common word.
    """
    marked = marked_ids(tokenizer)
    named = {token for token in _eos(tokenizer, "generation_config.json") if token < len(tokenizer)}
    return named | {token for token in _eos(tokenizer, "config.json") if token in marked}


def _eos(tokenizer: Any, name: str) -> Iterable[int]:
    from transformers.utils import cached_file

    if not tokenizer.name_or_path:  # not loaded from a folder
        return []
    missing = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    path = cached_file(tokenizer.name_or_path, name, **missing)
    found = read_json(Path(path)).get("eos_token_id") if path else None
    given = found if isinstance(found, list) else [found]
    return [token for token in given if isinstance(token, int) and token >= 0]  # -1 means none
