"""Files of prompts and demonstrations as sequences: only where their rows are is held in memory.

Rows of JSONL are read in the file itself. Those of Parquet lie together by hundreds of thousands, so that one is as
dear to read as all of them; they are written, once in a process, into a temporary file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curricula.errors import DataError
from curricula.prompt_file import Index, PromptFile, joined, scan, spans
from curricula.prompts import Prompt
from curricula.records import Needed, each_prompt, fingerprint
from curricula.rows import kind_of, require_file
from rl.data import kept_arrays
from rl.data.spooled import Spooled
from rl.data.spread import spread

OPEN = 8
"""Most files that a process keeps open; those opened first are closed first."""
RULES = 1
"""Raised when other rows are accepted than before, so that every file is checked again."""

_files: dict[tuple[Path, Needed, tuple[int, ...]], Sequence[Prompt]] = {}


@dataclass(frozen=True)
class Look:
    """What is asked about the prompts of a file in the same go in which they are checked for the first time."""

    at: Callable[[list[Prompt]], np.ndarray]
    """An array of one value a prompt, made in the process that reads a part of the file."""
    keep: Callable[[PromptFile, np.ndarray], None]
    """Takes those of the whole file."""


def prompts_of(path: str | Path, look: Look | None = None) -> Sequence[Prompt]:
    """The prompts of a file, as :func:`curricula.records.read_prompts` reads them. Raises the same."""
    return _of(Path(path), "reference", look)


def demonstrations_of(path: str | Path, look: Look | None = None) -> Sequence[Prompt]:
    """The same for demonstrations, as :func:`curricula.records.read_demonstrations` reads them."""
    return _of(Path(path), "demonstration", look)


def _of(path: Path, needed: Needed, look: Look | None) -> Sequence[Prompt]:
    require_file(path)
    key = path, needed, _state(path)
    if key not in _files:
        _files[key] = _unpacked(*key) if kind_of(path) == ".parquet" else _opened(*key, look)
        for old in [*_files][:-OPEN]:
            del _files[old]
    return _files[key]


def _require_same(path: Path, state: tuple[int, ...]) -> None:
    if _state(path) != state:
        raise DataError(f"{path} was changed while it was read; start again when it is complete")


def _state(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _unpacked(path: Path, needed: Needed, state: tuple[int, ...]) -> Sequence[Prompt]:
    prompts = Spooled(each_prompt(path, needed), _fields, _prompt)
    _require_same(path, state)
    return prompts


def _fields(one: Prompt) -> Sequence[Any]:
    return one.task, one.messages, one.reference, one.answer_kind, one.demonstration, one.meta, one.where


def _prompt(fields: Sequence[Any]) -> Prompt:
    task, messages, *others = fields
    return Prompt(task, tuple(messages), *others)


def _opened(path: Path, needed: Needed, state: tuple[int, ...], look: Look | None) -> PromptFile:
    digest = fingerprint(path)
    kept = kept_arrays.path_of("rows", RULES, needed, path.stem, digest)
    found = kept_arrays.read(kept)
    if found is not None and found.keys() == set(Index._fields):
        return PromptFile(path, needed, digest, Index(**found))
    at = None if look is None else look.at
    parts = list(spread(partial(scan, path, needed, at), list(spans(path))))
    prompts = PromptFile(path, needed, digest, joined(path, parts))
    _require_same(path, state)
    if len(prompts) >= kept_arrays.KEPT_FROM:
        kept_arrays.write(kept, prompts.lines._asdict())
    if look is not None:
        look.keep(prompts, np.concatenate([part.seen for part in parts]))
    return prompts
