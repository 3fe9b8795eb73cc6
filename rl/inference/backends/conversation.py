"""Common parts of the backends that have a tokenizer: conversations as token ids, completions as answers."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl.errors import UserError
from rl.inference.backend import Answer, Messages
from rl.inference.thinking import parted
from rl.models.chat import load_tokenizer, opens_thinking, render_prompt
from rl.models.stops import completion_text, stop_ids
from rl.models.template import bind


class Chat:
    """A model's tokenizer and chat template."""

    def __init__(
        self,
        path: str,
        trust_remote_code: bool = False,
        arguments: Mapping[str, Any] | None = None,
        date: datetime.date | None = None,
    ) -> None:
        """Load both.

        Args:
            path: folder or hub name.
            trust_remote_code: whether code beside the tokenizer may run.
            arguments: variables of the chat template.
            date: the template's date of today.

        Raises:
            UserError: if the tokenizer is missing or has no chat template, or the template does not use an argument.
        """
        self.tokenizer = bind(load_tokenizer(path, trust_remote_code), arguments, date)

    def encode(self, messages: Messages) -> list[int]:
        """Token ids of a conversation, up to the start of the assistant's answer."""
        return render_prompt(self.tokenizer, [{"role": role, "content": content} for role, content in messages])

    def stops(self) -> list[int]:
        """Ids that end a completion."""
        return sorted(stop_ids(self.tokenizer))

    def answer(self, prompt: Sequence[int], completion: Sequence[int], truncated: bool) -> Answer:
        """The answer in the ids of a completion, without its stop token."""
        text = completion_text(self.tokenizer, completion)
        thinking, answer = parted(text, opens_thinking(self.tokenizer, prompt))
        return Answer(answer, thinking, len(completion), len(prompt), truncated)


def longest(path: str, trust_remote_code: bool, asked: int | None) -> int:
    """Longest prompt and completion together (tokens): ``asked``, else the model's own limit.

    Raises:
        UserError: if ``asked`` is more than that limit.
    """
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code).get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    if asked is None:
        return int(limit or 4096)
    if limit is not None and asked > limit:
        raise UserError(f"--max-length {asked} is more than the {limit} positions of {path}; lower it")
    return asked


def require_model(path: str, option: str = "--model ") -> None:
    """Raise UserError if ``path`` is a folder without a model; hub names pass. ``option`` is what has named it."""
    folder = Path(path).expanduser()
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(f"{option}{path} has no config.json; give the folder of a Hugging Face model")
    if not folder.is_dir() and (path.startswith(("/", ".", "~")) or path.count("/") > 1):
        raise UserError(f"{option}{path} is not a folder; give the folder of a Hugging Face model, or its hub name")
