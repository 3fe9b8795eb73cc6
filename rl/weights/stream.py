"""Weights as a stream: into a safetensors file as they come, or in parts of a bounded size.

Whoever makes a cut model whole tensor by tensor must not have to hold all of it before it can be handed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def write(weights: Iterable[tuple[str, torch.Tensor]], metadata: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file, one tensor at a time.

    Args:
        weights: named tensors, on any device, in any order, also some that share their memory.
        metadata: a tensor of the shape and type of each of them, such as on the device "meta"; the header is written
            from these, before the first weight comes.
        path: is overwritten.

    Raises:
        ValueError: if the weights are not those of the metadata.
    """
    import torch

    header, places = _header(metadata)
    with path.open("wb") as file:
        file.write(header)
        for name, tensor in weights:
            wanted, place = metadata[name], places.pop(name, None)
            if place is None or tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
                raise ValueError(f"{name} is not the weight that was announced, or came twice")
            file.seek(len(header) + place)
            file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    if places:
        raise ValueError(f"{len(places)} weights did not come, among them {next(iter(places))}")


def _header(metadata: Mapping[str, torch.Tensor]) -> tuple[bytes, dict[str, int]]:
    """The beginning of a safetensors file, and where the bytes of each tensor begin after it.

    The format: https://huggingface.co/docs/safetensors/index#format. Wider types come first, so that every tensor
    begins at a multiple of the size of its numbers.
    """
    entries: dict[str, Any] = {}
    places, end = {}, 0
    for name, tensor in sorted(metadata.items(), key=lambda item: -item[1].element_size()):
        places[name], end = end, end + tensor.nbytes
        entries[name] = {
            "dtype": _dtype(tensor.dtype), "shape": list(tensor.shape), "data_offsets": [places[name], end]
        }  # fmt: skip
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, places


def _dtype(dtype: torch.dtype) -> str:
    """What safetensors calls a type."""
    import torch
    from safetensors.torch import save

    found: str = json.loads(save({"": torch.empty(0, dtype=dtype)})[8:])[""]["dtype"]
    return found


def in_parts(weights: Iterable[tuple[str, torch.Tensor]], limit: int) -> Iterator[list[tuple[str, torch.Tensor]]]:
    """The weights in lists of at most ``limit`` bytes, or of one tensor. A list is the caller's: no other reference to
    its tensors is kept."""
    held: list[tuple[str, torch.Tensor]] = []
    size = 0
    for name, tensor in weights:
        if held and size + tensor.nbytes > limit:
            yield held
            held, size = [], 0
        held.append((name, tensor))
        size += tensor.nbytes
    if held:
        yield held
