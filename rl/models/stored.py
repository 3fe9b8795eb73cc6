"""Which weights lie in safetensors files, by the headers of these alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl.errors import UserError

if TYPE_CHECKING:
    from rl.models.checkpoint_format import Shapes

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"


def weight_files(folder: Path) -> list[Path]:
    """The files of a Hugging Face folder that hold its weights.

    Raises:
        UserError: if one is missing, or their index is damaged.
    """
    index, names = folder / INDEX, [FILE]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{index} is damaged, so that files of weights can't be found; get it again") from error
    for name in names:
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no {name}; give the model's weights, complete, in safetensors")
    return [folder / name for name in names]


def opened(file: Path) -> Any:
    """A safetensors file, of which the header is read.

    Raises:
        UserError: if it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} can't be read as safetensors ({error}); get the file again") from error


def places(file: Any) -> dict[str, list[int]]:
    """Where each tensor of an open file begins in the whole one, as torch's distributed checkpoints may cut it into
    parts; empty of a tensor that is not cut."""
    sharding = json.loads((file.metadata() or {}).get("DCP_SHARDING_INFO", "{}"))
    return {name: sharding.get(name, {}).get("saved_offsets", []) for name in file.keys()}  # noqa: SIM118 (no mapping)


def stored_shapes(files: Iterable[Path]) -> Shapes:
    """Names and shapes of the whole tensors.

    Raises:
        UserError: if a file is damaged.
    """
    found: Shapes = {}
    for path in files:
        file = opened(path)
        for name, begin in places(file).items():
            size = file.get_slice(name).get_shape()
            end = [first + length for first, length in zip(begin or [0] * len(size), size, strict=True)]
            found[name] = tuple(max(pair) for pair in zip(end, found.get(name, end), strict=True))
    return found


def misfit(held: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> str:
    """What keeps stored weights from being those that are wanted, in words: a missing one, or another shape. Further
    ones don't matter. Empty if nothing does."""
    for name, shape in wanted.items():
        if name not in held:
            return f"{name} is missing"
        if held[name] != shape:
            return f"{name} has the shape {_by(held[name])} and not {_by(shape)}"
    return ""


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "that of a number"
