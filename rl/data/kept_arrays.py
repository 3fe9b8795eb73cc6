"""What was found out about large data files, as arrays in files, so that the next start need not find it out again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rl.files import in_one_move

FOLDER = Path(".cache/data")
KEPT_FROM = 2000
"""Of smaller files nothing is kept: to find it out again is faster than to read it."""
FILES = 32
"""Most files in the folder; those used longest ago are deleted first."""


def path_of(*key: Any) -> Path:
    """The file of a key of JSON values."""
    content = json.dumps(key, ensure_ascii=False, sort_keys=True)
    return FOLDER / f"{hashlib.sha256(content.encode()).hexdigest()}.npz"


def read(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file by name; None if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:  # the zip's checksums show damage
            found = dict(file)
        os.utime(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return found


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays in a file. If the disk refuses it, only the next start takes longer."""
    with contextlib.suppress(OSError):
        with in_one_move(path, f".{os.getpid()}") as partial, partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        files = sorted(path.parent.glob("*.npz"), key=lambda one: one.stat().st_mtime)
        for old in files[:-FILES]:
            old.unlink(missing_ok=True)
