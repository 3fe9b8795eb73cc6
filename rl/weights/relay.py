"""Weights for engines on other nodes than the trainer: the file that lies in the trainer's shared memory is copied to
theirs, once for each node, through Ray. A process holds at most two chunks of it at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rl.weights.shared import make_file, make_folder, remove_adapters
from rl.weights.transfer import KEPT_ADAPTERS, WeightUpdate, roomy

CHUNK = 64 * 2**20
"""Bytes that travel at once."""
KEYS = ("path", "adapter")
"""Where an update names the file or folder that it lies in."""


def in_file(update: WeightUpdate) -> str | None:
    """The key of ``update.info`` that names a file or folder of one node; None if the weights travel otherwise."""
    return next((key for key in KEYS if key in update.info), None)


def sizes(path: Path) -> list[tuple[str, int]]:
    """Files of a folder with their sizes; a file is the only one of itself, with an empty name."""
    if path.is_file():
        return [("", path.stat().st_size)]
    return sorted((one.name, one.stat().st_size) for one in path.iterdir())


def read(path: Path, offset: int, count: int = CHUNK) -> bytes:
    """A part of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(count)


def fetch(
    update: WeightUpdate, found: Sequence[tuple[str, int]], chunks: Callable[[str, int], Iterator[bytes]], shared: Path
) -> WeightUpdate:
    """Copy what an update lies in to this node; the update as engines of this node can take it.

    Args:
        update: of the trainer, whose weights lie in a file or a folder.
        found: names and sizes of the files there (:func:`sizes`).
        chunks: gives the content of a file, by its name and size.
        shared: where a file may lie (:func:`rl.weights.shared.shared_file`).

    Raises:
        UserError: if no place of this node has room for it.
    """
    key = in_file(update)
    assert key is not None
    place = roomy(shared, sum(size for _, size in found))
    if key == "adapter":
        place = place.with_suffix(Path(update.info[key]).suffix)
        make_folder(place)
        for name, size in found:
            _write(place / name, chunks(name, size))
        remove_adapters(place.with_suffix(""), keep=KEPT_ADAPTERS)
    else:
        ((name, size),) = found
        partial = place.with_suffix(".partial")
        make_file(partial)
        _write(partial, chunks(name, size))
        partial.replace(place)
    return replace(update, info={**update.info, key: str(place)})


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def pulled(handle: Any, path: str, size: int) -> Iterator[bytes]:
    """The content of a file of the trainer's node; the next chunk is on its way while one is used."""
    import ray

    offsets = range(0, size, CHUNK)
    coming = [handle.read_shared.remote(path, offset) for offset in offsets[:1]]
    for number in range(len(offsets)):
        if number + 1 < len(offsets):
            coming.append(handle.read_shared.remote(path, offsets[number + 1]))
        yield ray.get(coming.pop(0))
