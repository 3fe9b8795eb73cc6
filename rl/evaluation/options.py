"""The options of ``python -m rl.evaluate run`` by name, for a call from Python: typed, and turned into its words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn, TypedDict

from rl.errors import UserError
from rl.language import Lang


class Options(TypedDict, total=False):
    """Each is the option of the command with that name, and has its default (docs/reference/commands.md)."""

    tasks: Sequence[str]
    root: str | Path
    shots: int
    lang: Lang
    limit: int
    batch: int
    as_of: str
    laws: str | Path
    model: str | Path
    server: str
    served_model: str
    key_env: str
    tokenizer: str | Path
    backend: Literal["vllm", "transformers", "server"]
    max_length: int
    data_parallel: int
    tensor_parallel: int
    threads: int
    concurrency: int
    max_num_seqs: int
    ray_address: str
    chat_template_kwargs: Mapping[str, Any]
    trust_remote_code: bool
    temperature: float
    top_p: float
    max_tokens: int
    samples: int
    seed: int
    judge: str
    judge_model: str
    judge_guided: Literal["json", "choice", "off"]


class Parser(argparse.ArgumentParser):
    """A parser that raises what it would print."""

    def error(self, message: str) -> NoReturn:
        """Raise a UserError."""
        raise UserError(message.removeprefix("argument "))


def words(options: Options) -> list[str]:
    """The options as words of the command; None and an empty list are left out.

    Raises:
        UserError: for an option that does not exist; it names the nearest.
    """
    return [word for name, value in options.items() for word in _words(name, value)]


def _words(name: str, value: Any) -> Iterator[str]:
    if name not in Options.__annotations__:
        near = get_close_matches(name, Options.__annotations__, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(Options.__annotations__)}"
        raise UserError(f"an evaluation has no option {name}; {hint}")
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        yield from [flag] if value else []
    elif isinstance(value, Mapping):
        yield f"{flag}={json.dumps(value, ensure_ascii=False)}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from [flag, *map(str, value)] if value else []
    elif value is not None:
        yield f"{flag}={value}"
