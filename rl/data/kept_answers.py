"""The policy's own answers as demonstrations: which are right, which of them are kept, and their files.

A step that samples leaves its right answers in a Parquet file, as the tokens that were sampled, from which a run that
was killed goes on. A round leaves those that it keeps in a JSONL file that an SFT stage takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curricula.errors import DataError
from curricula.prompts import Prompt
from curricula.rows import checked
from rl.config.stages import KeepConfig
from rl.data.tokens import Example
from rl.files import write_bytes
from rl.models.chat import THINK, opens_thinking
from rl.records import parquet
from rl.samples import Completion, Group

ROUNDING = 1e-9
"""A score that is below ``keep.at_least`` by no more than this is not below it: sums of weights are rounded."""
COLUMNS: dict[str, type] = {"prompt": str, "prompt_ids": list, "token_ids": list, "reward": float}


@dataclass(frozen=True)
class Answer:
    """A right answer of the policy."""

    prompt: Prompt
    """The question; its demonstration is the answer's text, with what the chat template opened for the policy."""
    prompt_ids: Sequence[int]
    token_ids: Sequence[int]
    """As they were sampled, the stop token included."""
    reward: float
    """The weighted sum of its scores."""

    @cached_property
    def example(self) -> Example:
        """(token ids, length of the prompt part), as SFT takes it: what was sampled is what is trained."""
        return np.asarray([*self.prompt_ids, *self.token_ids], dtype=np.int32), len(self.prompt_ids)


def right_answers(groups: Iterable[Group], keep: KeepConfig, tokenizer: Any) -> list[Answer]:
    """The right answers of groups, in the order of their prompts' numbers.

    Right is what scores at least ``keep.at_least`` and was not cut off. A group with an errored verdict has none, and
    an answer is none whose text no file of demonstrations may hold: a blank one, or one with a NUL character.
    """
    return [
        Answer(
            replace(group.prompt, demonstration=text), group.prompt_ids, completion.token_ids.tolist(), group.rewards[i]
        )
        for group in sorted(groups, key=lambda group: group.index)
        if group.error is None
        for i, completion in enumerate(group.completions)
        if is_right(group, i, keep) and (text := _text(completion, group, tokenizer)) is not None
    ]


def is_right(group: Group, place: int, keep: KeepConfig) -> bool:
    """Whether a completion of a scored group is a whole answer with a score of at least ``keep.at_least``."""
    score = group.rewards[place] if keep.reward is None else group.parts[place][keep.reward]
    return group.completions[place].finish_reason == "stop" and score >= keep.at_least - ROUNDING


def _text(completion: Completion, group: Group, tokenizer: Any) -> str | None:
    opened = THINK if opens_thinking(tokenizer, group.prompt_ids) else ""
    try:
        return opened + checked(completion.text, "the answer")
    except DataError:
        return None


def select(answers: Iterable[Answer], keep: KeepConfig) -> list[Answer]:
    """Of each prompt the best ``keep.per_prompt`` answers, none twice, in the order in which they came.

    The best are those with the highest reward, with ``keep.shortest`` those of the fewest tokens and among these with
    the highest reward; of equals those that came first. To select from a selection and further answers is the same as
    to select from all.
    """

    def rank(numbered: tuple[int, Answer]) -> tuple[float, float]:
        answer = numbered[1]
        return (len(answer.token_ids) if keep.shortest else 0, -answer.reward)

    kept: dict[str, dict[str | None, int]] = {}
    numbered = list(enumerate(answers))
    for number, answer in sorted(numbered, key=rank):
        of_prompt = kept.setdefault(answer.prompt.uid, {})
        if len(of_prompt) < keep.per_prompt:
            of_prompt.setdefault(answer.prompt.demonstration, number)
    chosen = {number for of_prompt in kept.values() for number in of_prompt.values()}
    return [answer for number, answer in numbered if number in chosen]


def answers_file(folder: Path, step: int) -> Path:
    """The file of the right answers of a step (0-based)."""
    return folder / f"step-{step:06d}.parquet"


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """Write answers in one move."""
    import pyarrow as pa

    ids = pa.list_(pa.int32())
    schema = pa.schema([("prompt", pa.string()), ("prompt_ids", ids), ("token_ids", ids), ("reward", pa.float64())])
    rows = [
        {
            "prompt": json.dumps({"where": one.prompt.where, **one.prompt.to_json()}, ensure_ascii=False),
            "prompt_ids": list(one.prompt_ids),
            "token_ids": list(one.token_ids),
            "reward": one.reward,
        }
        for one in answers
    ]
    parquet.write(path, pa.Table.from_pylist(rows, schema=schema))


def read_answers(path: Path, fix: str) -> list[Answer]:
    """The answers of a file, as they were written.

    Raises:
        UserError: if it is missing or damaged; ``fix`` is what the user can do.
    """
    return [
        Answer(_prompt(json.loads(row["prompt"])), row["prompt_ids"], row["token_ids"], row["reward"])
        for row in parquet.read(path, COLUMNS, fix)
    ]


def _prompt(values: dict[str, Any]) -> Prompt:
    messages = tuple(values.pop("prompt"))
    return Prompt(messages=messages, **values)


def demonstrations_file(folder: Path, number: int) -> Path:
    """The file of the answers kept in a round (0-based)."""
    return folder / f"round-{number:02d}.jsonl"


def write_demonstrations(path: Path, answers: Sequence[Answer], number: int) -> None:
    """Write the answers kept in round ``number`` as a file for ``sft.data``; ``meta.kept`` holds round and reward."""
    lines = [
        json.dumps(
            one.prompt.to_json() | {"meta": {**one.prompt.meta, "kept": {"round": number, "reward": one.reward}}},
            ensure_ascii=False,
        )
        for one in answers
    ]
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
