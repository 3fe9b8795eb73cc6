"""Code for nodes that have the packages of a run and not its code: Ray's ``working_dir``, which it takes there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import ClusterError

ROOT = Path(__file__).resolve().parents[1]
OURS = ("cluster", "curricula", "rewards", "rl")
"""What actors import and read of this checkout. Neither models nor data, nor git, environments, runs and caches."""
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.pyc", "*.log", "*.egg-info", "node_modules")


@contextmanager
def shipment(others: Sequence[Path] = ()) -> Iterator[str]:
    """Within it there is a folder with our code and ``others``: files and folders that go beside it.

    Raises:
        ClusterError: if it is larger than what Ray takes.
    """
    from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

    with tempfile.TemporaryDirectory(prefix="themis-code-") as folder:
        for path in (*(ROOT / name for name in OURS), *others):
            if path.is_dir():
                _require_small(path, GCS_STORAGE_MAX_SIZE)
                shutil.copytree(path, Path(folder, path.name), ignore=LEFT_OUT, dirs_exist_ok=True)
            elif path.is_file():
                shutil.copy2(path, folder)
        _require_small(Path(folder), GCS_STORAGE_MAX_SIZE)
        yield folder


def _require_small(folder: Path, most: int) -> None:
    """Look at sizes before anything is copied, and at the sum of all."""
    sizes: dict[Path, int] = {}
    for where, inner, names in os.walk(folder):
        for left in LEFT_OUT(where, [*inner, *names]):
            (inner if left in inner else names).remove(left)
        for name in names:
            sizes[Path(where, name)] = Path(where, name).stat().st_size
    total = sum(sizes.values())
    if total > most:
        largest = max(sizes, key=lambda path: sizes[path])
        raise ClusterError(
            f"the code in {folder} has {total / 2**20:,.0f} MiB, and cluster.ship_code sends at most "
            f"{most / 2**20:,.0f}; the largest file is {largest.relative_to(folder)}. Keep data and models outside the "
            f"folders of code, on a disk that all nodes share"
        )
