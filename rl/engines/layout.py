"""How the sequences of a batch become the dense rows of micro-batches.

This is the one place that decides what a forward pass looks like. Today a row is one sequence; a layout in which a
group's prompt stands in a row once needs a new :func:`plan` and :func:`gather` and nothing else.
"""

from collections.abc import Sequence

import numpy as np
import torch

from rl.samples import TokenBatch


def plan(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Rows for each micro-batch, so that ``rows x longest row <= max_tokens``, sorted by length to keep padding low.

    Raises:
        ValueError: if one row alone is longer than ``max_tokens``.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
    micro_batches: list[list[int]] = []
    for row in order:
        if lengths[row] > max_tokens:
            raise ValueError(f"a sequence of {lengths[row]} tokens exceeds max_tokens_per_microbatch={max_tokens}")
        if micro_batches and (len(micro_batches[-1]) + 1) * lengths[row] <= max_tokens:
            micro_batches[-1].append(row)
        else:
            micro_batches.append([row])
    return micro_batches


def shard(lengths: Sequence[int], world_size: int) -> list[list[int]]:
    """Deal sequences to ranks: sorted by length and dealt back and forth, so that every rank gets like work."""
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    shards: list[list[int]] = [[] for _ in range(world_size)]
    for turn, row in enumerate(order):
        lap, place = divmod(turn, world_size)
        shards[place if lap % 2 == 0 else world_size - 1 - place].append(row)
    return [sorted(rows) for rows in shards]


def gather(batch: TokenBatch, rows: Sequence[int], device: torch.device) -> dict[str, torch.Tensor]:
    """Right-padded dense tensors [B, L] of the given rows: ids, positions, ``loss_mask`` (float) and every field.

    Padding continues a row's positions, so it never looks like the start of a packed document, and needs no attention
    mask: in a causal model nothing before it can see it. No rows give one empty row, with which a rank that has run out
    of work still takes part in the collectives of the others.
    """
    part = batch.select(rows)
    height, width = max(1, len(part)), max(2, int(part.lengths.max(initial=0)))
    columns = np.arange(width)[None, :]
    lengths = part.lengths[:, None]
    inside = np.zeros((height, width), dtype=bool)
    inside[: len(part)] = columns < lengths

    def dense(values: np.ndarray, dtype: type) -> np.ndarray:
        out: np.ndarray = np.zeros((height, width), dtype=dtype)
        out[inside] = values
        return out

    positions = dense(part.position_ids, np.int64)
    if len(part):
        last = part.position_ids[part.offsets[1:] - 1][:, None]
        positions[: len(part)] = np.where(inside[: len(part)], positions[: len(part)], last + 1 + columns - lengths)
    else:
        positions[:] = columns
    arrays = {
        "input_ids": dense(part.input_ids, np.int64),
        "position_ids": positions,
        "loss_mask": dense(part.loss_mask, np.float32),
        **{name: dense(values, np.float32) for name, values in part.fields.items()},
    }
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def scatter(batch: TokenBatch, rows: Sequence[int], dense: np.ndarray, out: np.ndarray) -> None:
    """Write the dense [B, L] values of the given rows back to their places in the flat [T] array ``out``."""
    for place, row in enumerate(rows):
        start, end = batch.offsets[row], batch.offsets[row + 1]
        out[start:end] = dense[place, : end - start]
