"""Tokenizer and chat template: the one way in which text becomes the token ids that sampler and trainer share."""

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from curricula.prompts import Prompt
from rl.errors import UserError
from rl.models.control import chat_parts, encode, encode_parts, special_tags
from rl.models.lean import import_transformers
from rl.models.source import require_plain
from rl.models.stops import text_without_stops, turn_end
from rl.models.template import prompt_text, try_template

THINK = "<think>"
THOUGHT = "</think>"


def load_tokenizer(path: str, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a model folder or hub name.

    Raises:
        UserError: if there is none, if it has no chat template or no end-of-sequence token, or if the template does not
            end.
    """
    import_transformers()
    from transformers import AutoTokenizer

    require_plain(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:  # the tokenizer libraries raise errors of every kind, some of them no subclass of any
        reason = " ".join(str(error).split())[:600] or type(error).__name__
        raise UserError(f"no tokenizer can be loaded from {path}: {reason}") from error
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of {path} has no chat template; take an instruct model or add chat_template.jinja"
        )
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"the tokenizer of {path} names no end-of-sequence token; set eos_token in tokenizer_config.json"
        )
    try_template(tokenizer)
    if tags := special_tags(tokenizer):
        _tell_of_special(path, ", ".join(tags))
    return tokenizer


@cache
def _tell_of_special(path: str, tags: str) -> None:
    """Once a process: other programs would find no answer in what such a model writes."""
    print(
        f"warning: {tags} are special tokens in {path}, as in nano models of earlier versions: programs that skip "
        f'special tokens drop them. Set "special" to false for them in its tokenizer.json; no weight depends on it',
        file=sys.stderr,
    )


def render_prompt(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of a chat up to where the assistant begins to write.

    Raises:
        UserError: if messages are not text of known roles that end with the user's; if the chat template refuses them,
            or leaves out what one of them says.
    """
    return encode_parts(tokenizer, prompt_parts(tokenizer, messages))


def prompt_parts(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[str]:
    """The text of the prompt of :func:`render_prompt`, in the parts that are encoded one by one. Raises the same."""
    return chat_parts(tokenizer, messages, prompt_text(tokenizer, messages))


def opens_thinking(tokenizer: Any, prompt_ids: Sequence[int]) -> bool:
    """Whether a chat template ends a prompt with ``<think>``, so that the policy writes what comes after."""
    return _end(tokenizer, prompt_ids).endswith(THINK)


def closes_thinking(tokenizer: Any, prompt_ids: Sequence[int]) -> bool:
    """Whether a chat template ends a prompt with finished thinking, so that the policy writes only the answer."""
    return _end(tokenizer, prompt_ids).endswith(THOUGHT)


def _end(tokenizer: Any, prompt_ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(prompt_ids[-8:]))).rstrip()


def render_demonstration(tokenizer: Any, prompt: Prompt) -> tuple[list[int], int]:
    """(token ids of prompt, demonstration and the token that ends the turn; length of the prompt part).

    The prompt part is exactly the rollout's prompt: both parts are encoded separately and joined as ids. What the
    template writes itself is left out of the demonstration: ``<think>``, or the thinking if the prompt ends with
    finished thinking, and the end of the turn.

    Raises:
        UserError: as :func:`render_prompt` does.
    """
    head = render_prompt(tokenizer, prompt.messages)
    text = answer_text(tokenizer, opens_thinking(tokenizer, head), closes_thinking(tokenizer, head), prompt)
    return [*head, *encode(tokenizer, text), turn_end(tokenizer)], len(head)


def answer_text(tokenizer: Any, opens: bool, closes: bool, prompt: Prompt) -> str:
    """A demonstration without what the template writes itself, after a prompt that opens or closes thinking."""
    text = text_without_stops(tokenizer, prompt.demonstration or "")
    if opens:
        return text.removeprefix(THINK)
    if closes and text.startswith(THINK):
        return text.partition(THOUGHT)[2].lstrip()
    return text
