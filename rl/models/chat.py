"""Tokenizer and chat template: the one way in which text becomes the token ids that sampler and trainer share."""

from collections.abc import Sequence
from typing import Any

from curricula.prompts import Prompt
from rl.errors import UserError

THINK = "<think>"


def load_tokenizer(path: str, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a model folder or hub name.

    Raises:
        UserError: if there is none, or if it has no chat template or no end-of-sequence token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(f"no tokenizer can be loaded from {path}: {str(error).splitlines()[0]}") from error
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of {path} has no chat template; take an instruct model or add chat_template.jinja"
        )
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"the tokenizer of {path} names no end-of-sequence token; set eos_token in tokenizer_config.json"
        )
    return tokenizer


def render_prompt(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Token ids of a chat up to where the assistant begins to write."""
    text = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    return list(tokenizer.encode(text, add_special_tokens=False))


def opens_thinking(tokenizer: Any, prompt_ids: Sequence[int]) -> bool:
    """Whether a chat template ends a prompt with ``<think>``, so that the policy writes what comes after."""
    return str(tokenizer.decode(list(prompt_ids[-8:]))).rstrip().endswith(THINK)


def render_demonstration(tokenizer: Any, prompt: Prompt) -> tuple[list[int], int]:
    """(token ids of prompt, demonstration and stop token; length of the prompt part).

    The prompt part is exactly what the rollout sees: both are encoded on their own and joined as ids.
    """
    head = render_prompt(tokenizer, prompt.messages)
    text = prompt.demonstration or ""
    if opens_thinking(tokenizer, head):
        text = text.removeprefix(THINK)
    answer = tokenizer.encode(text, add_special_tokens=False)
    return [*head, *answer, tokenizer.eos_token_id], len(head)
