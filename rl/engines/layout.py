"""How the sequences of a batch become the flat rows of micro-batches.

A micro-batch is one row of tokens without padding. The sequences of a group share their prompt, which is in the row
once: a prompt of 256 tokens with 8 completions of 64 takes 768 tokens instead of 2,560. Output is computed only where
the loss needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl.engines.attention import Span, table
from rl.samples import TokenBatch

MICRO_BATCHES = 8
"""In a pipeline, at most about so many micro-batches for each stage more than needed are tried."""
MICRO_BATCH_TOKENS = 64
"""What a micro-batch costs beside its tokens, in tokens (``python -m tools.bench.pipeline`` measures it)."""


@dataclass(frozen=True)
class MicroBatch:
    """The input of one forward pass: T tokens in a row, of which S are targets, from N sequences."""

    input_ids: Tensor
    """int64 [1, T]."""
    position_ids: Tensor
    """int64 [1, T]."""
    spans: Any
    """Which tokens see which, as attention takes it."""
    sources: Tensor
    """int64 [U], the places in the row that predict a target, each once."""
    source_of: Tensor
    """int64 [S], which source predicts each target: the last token of a shared prompt predicts several."""
    targets: Tensor
    """int64 [S], token ids."""
    mask: Tensor
    """float [N, L], 1 at the targets; each sequence is a row that begins after its prompt."""
    fields: dict[str, Tensor]
    """Per-token fields of the batch, float [N, L]."""
    places: np.ndarray
    """int64 [S], the position of each target in the batch."""

    def dense(self, values: Tensor) -> Tensor:
        """Values of the targets [S] as rows [N, L], 0 elsewhere."""
        return torch.zeros_like(self.mask).masked_scatter(self.mask.bool(), values)


def units(batch: TokenBatch, rows: Sequence[int] | None = None) -> list[list[int]]:
    """The rows, grouped by shared prompt."""
    found: dict[tuple[str, int], list[int]] = {}
    for row in range(len(batch)) if rows is None else rows:
        shares = batch.groups is not None and batch.prompt_lengths[row] > 0
        found.setdefault(("group", int(batch.groups[row])) if shares else ("row", row), []).append(row)  # type: ignore[index]
    return list(found.values())


def tokens_of(batch: TokenBatch, unit: Sequence[int]) -> int:
    """Tokens of a unit in a micro-batch: its prompt once, and the rest of every sequence."""
    prompt = int(batch.prompt_lengths[unit[0]])
    return prompt + sum(int(batch.lengths[row]) - prompt for row in unit)


def plan(batch: TokenBatch, max_tokens_per_microbatch: int, stages: int = 1) -> list[list[int]]:
    """The rows of each micro-batch, in order; a group may be cut into parts.

    With several pipeline ``stages``, micro-batches are of similar sizes below the largest allowed one: smaller ones
    shorten the time in which stages wait for the first and for the last micro-batch, but take time of their own.

    Raises:
        ValueError: if a single sequence is longer than ``max_tokens_per_microbatch``.
    """
    longest = int(batch.lengths.max(initial=0))
    if longest > max_tokens_per_microbatch:
        raise ValueError(f"a sequence of {longest} tokens exceeds {max_tokens_per_microbatch=}")
    found, sizes = _filled(batch, max_tokens_per_microbatch)
    if stages > 1 and len(batch) > 1:
        total, fewest = sum(sizes), len(sizes)
        limits = {max(longest, -(-total // count)) for count in range(fewest, fewest + MICRO_BATCHES * stages)}
        plans = [(found, sizes), *(_filled(batch, limit) for limit in sorted(limits, reverse=True))]
        found, _ = min(plans, key=lambda one: pipeline_tokens(one[1], stages))
    return found


def pipeline_tokens(sizes: Sequence[int], stages: int) -> int:
    """How long a pipeline of equal stages takes, as the tokens that one stage could have worked on instead.

    Every stage works on all micro-batches, and all but one wait while the largest goes through the others.
    """
    costs = [size + MICRO_BATCH_TOKENS for size in sizes]
    return sum(costs) + (stages - 1) * max(costs, default=0)


def _filled(batch: TokenBatch, limit: int) -> tuple[list[list[int]], list[int]]:
    """Micro-batches filled one after the other up to a limit, and their tokens."""
    micro_batches: list[list[int]] = []
    sizes: list[int] = []
    for unit in units(batch):
        for place, row in enumerate(unit):
            length, prompt = int(batch.lengths[row]), int(batch.prompt_lengths[row])
            cost = length if place == 0 else length - prompt
            if not sizes or sizes[-1] + cost > limit:
                micro_batches.append([])
                sizes.append(0)
                cost = length
            micro_batches[-1].append(row)
            sizes[-1] += cost
    return micro_batches, sizes


def shard(batch: TokenBatch, shares: int) -> list[list[int]]:
    """The rows of each share: whole groups, the largest first, each to the share with the fewest tokens so far."""
    shards: list[list[int]] = [[] for _ in range(shares)]
    loads = [0] * shares
    for unit in sorted(units(batch), key=lambda unit: (-tokens_of(batch, unit), unit[0])):
        least = loads.index(min(loads))
        shards[least] += unit
        loads[least] += tokens_of(batch, unit)
    return [sorted(rows) for rows in shards]


def gather(
    batch: TokenBatch,
    rows: Sequence[int],
    device: torch.device,
    prepare: Callable[[Sequence[Span], int], Any] = table,
) -> MicroBatch:
    """The micro-batch of the given rows; ``prepare`` makes from spans and the row's length what attention takes.

    Without rows it is two tokens without a target: a rank without work uses it to take part in the others' collectives.
    """
    if not rows:
        return _empty(device, prepare)
    row_tokens: list[np.ndarray] = []  # positions in the batch of the row's tokens
    spans: list[Span] = []
    sources: dict[int, np.ndarray] = {}
    used = 0
    for unit in units(batch, rows):
        prompt, shared = int(batch.prompt_lengths[unit[0]]), None
        if prompt and len(unit) > 1:
            start = int(batch.offsets[unit[0]])
            row_tokens.append(np.arange(start, start + prompt))
            shared, spans = len(spans), [*spans, Span(used, prompt)]
            before, used = used + prompt - 1, used + prompt
        for row in unit:
            begin = int(batch.offsets[row]) + (prompt if shared is not None else 0)
            own = np.arange(begin, int(batch.offsets[row + 1]))
            row_tokens.append(own)
            predicted_from = used - 1 + np.arange(len(own))
            if shared is not None:
                predicted_from[0] = before
                spans.append(Span(used, len(own), shared))
            else:
                spans += [Span(used + a, b - a) for a, b in _documents(batch.position_ids[own])]
            sources[row] = predicted_from[batch.loss_mask[own]]
            used += len(own)
    where = np.concatenate(row_tokens)
    places = [int(batch.offsets[row]) + np.flatnonzero(batch.loss_mask[_span(batch, row)]) for row in rows]
    mask, fields = dense(batch, rows)
    flat = np.concatenate(places)
    # Each source once: torch adds gradients of a repeated index in the order in which its threads arrive.
    unique, source_of = np.unique(np.concatenate([sources[row] for row in rows]), return_inverse=True)
    return MicroBatch(
        input_ids=torch.from_numpy(batch.input_ids[where])[None].to(device),
        position_ids=torch.from_numpy(batch.position_ids[where])[None].to(device),
        spans=prepare(spans, used).to(device),
        sources=torch.from_numpy(unique).to(device),
        source_of=torch.from_numpy(source_of).to(device),
        targets=torch.from_numpy(batch.input_ids[flat]).to(device),
        mask=mask.to(device),
        fields={name: values.to(device) for name, values in fields.items()},
        places=flat,
    )


def dense(batch: TokenBatch, rows: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss mask and the fields of the rows as float [N, L]; a row begins after its prompt."""
    starts = batch.offsets[list(rows)] + batch.prompt_lengths[list(rows)]
    lengths = batch.offsets[np.asarray(rows) + 1] - starts
    inside = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
    where = np.concatenate([np.arange(a, a + n) for a, n in zip(starts, lengths, strict=True)])

    def lay(values: np.ndarray) -> Tensor:
        out = np.zeros(inside.shape, dtype=np.float32)
        out[inside] = values[where]
        return torch.from_numpy(out)

    return lay(batch.loss_mask), {name: lay(values) for name, values in batch.fields.items()}


def _span(batch: TokenBatch, row: int) -> slice:
    return slice(int(batch.offsets[row]), int(batch.offsets[row + 1]))


def _documents(positions: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of each document packed into a sequence; positions restart at 0 in each."""
    starts = [0, *(np.flatnonzero(np.diff(positions) <= 0) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(positions)], strict=True))


def _empty(device: torch.device, prepare: Callable[[Sequence[Span], int], Any]) -> MicroBatch:
    none = torch.zeros(0, dtype=torch.long, device=device)
    two = torch.arange(2, device=device)[None]
    mask = torch.zeros(1, 1, device=device)
    spans = prepare([Span(0, 2)], 2).to(device)
    return MicroBatch(two, two, spans, none, none, none, mask, {}, np.zeros(0, dtype=np.int64))
