"""Files of prompts and demonstrations as sequences: of JSONL, only where its rows are is held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

from curricula.errors import DataError
from curricula.prompt_file import Index, PromptFile, joined, scan, spans
from curricula.prompts import Prompt
from curricula.records import Needed, fingerprint, read_demonstrations, read_prompts
from curricula.rows import kind_of, require_file
from rl.data import kept_arrays
from rl.data.spread import spread

RULES = 1
"""Raised when other rows are accepted than before, so that every file is checked again."""


def prompts_of(path: str | Path) -> Sequence[Prompt]:
    """The prompts of a file, as :func:`curricula.records.read_prompts` reads them. Raises the same."""
    return _of(Path(path), "reference")


def demonstrations_of(path: str | Path) -> Sequence[Prompt]:
    """The same for demonstrations, as :func:`curricula.records.read_demonstrations` reads them."""
    return _of(Path(path), "demonstration")


def _of(path: Path, needed: Needed) -> Sequence[Prompt]:
    require_file(path)
    if kind_of(path) == ".parquet":
        return read_prompts(path) if needed == "reference" else read_demonstrations(path)
    return _opened(path, needed, _state(path))


def _state(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=8)
def _opened(path: Path, needed: Needed, state: tuple[int, ...]) -> PromptFile:
    digest = fingerprint(path)
    kept = kept_arrays.path_of("rows", RULES, needed, path.stem, digest)
    found = kept_arrays.read(kept)
    if found is not None and found.keys() == set(Index._fields):
        return PromptFile(path, needed, digest, Index(**found))
    index = joined(path, list(spread(partial(scan, path, needed), list(spans(path)))))
    if _state(path) != state:
        raise DataError(f"{path} was changed while it was read; start again when it is complete")
    if len(index.starts) >= kept_arrays.KEPT_FROM:
        kept_arrays.write(kept, index._asdict())
    return PromptFile(path, needed, digest, index)
