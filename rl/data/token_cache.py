"""Tokenized sets of prompts in files, so that the next start needs no tokenizing."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rl.files import in_one_move

Ids = np.ndarray
"""int32 [T], token ids of one text."""
Example = tuple[Ids, int]
"""(token ids, length of the prompt part)."""

FOLDER = Path(".cache/tokens")
KEPT_FROM = 2000
"""Smaller sets are not kept: tokenizing them is faster than reading a file."""
FILES = 16
"""Most sets in the folder; those used longest ago are deleted first."""


def read(path: Path, n: int) -> list[Example] | None:
    """The ``n`` examples of a file, as views of one array; None if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:  # the zip's checksums show damage
            ids, ends, heads = file["ids"], file["ends"], file["heads"]
        os.utime(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    if not len(ends) == len(heads) == n or ids.dtype != np.int32 or (n and ends[-1] != len(ids)):
        return None
    starts = np.concatenate([[0], ends[:-1]])
    return [(ids[a:b], int(head)) for a, b, head in zip(starts.tolist(), ends.tolist(), heads, strict=True)]


def write(path: Path, examples: Sequence[Example]) -> None:
    """Keep examples in a file. If the disk refuses it, only the next start takes longer."""
    with contextlib.suppress(OSError):
        with in_one_move(path, f".{os.getpid()}") as partial, partial.open("wb") as file:
            np.savez(
                file,
                ids=np.concatenate([ids for ids, _ in examples]),
                ends=np.cumsum([len(ids) for ids, _ in examples], dtype=np.int64),
                heads=np.asarray([head for _, head in examples], dtype=np.int32),
            )
        files = sorted(path.parent.glob("*.npz"), key=lambda one: one.stat().st_mtime)
        for old in files[:-FILES]:
            old.unlink(missing_ok=True)
