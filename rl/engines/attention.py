"""Attention over a flat row of tokens: each sequence attends to itself, and only here is anything padded.

A micro-batch is one row of tokens without padding, cut into *spans*. A span attends causally to itself and to its
*prefix*, an earlier span, if it has one. So the completions of a group share a prompt that is in the row once. The
linear layers, which cost most, see every token once. For attention the spans are put into blocks of similar length.
Where a layer attends within a sliding window, a span and its prefix count as one sequence.

Tokens are moved by gathers, also in the backward pass: a token has one place in the row and at most one in the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

NAME = "spans"
"""Name of this attention in transformers."""
SLACK, SHORT = 0.75, 16
"""A block takes spans of at least 0.75 of its longest, or up to 16 tokens shorter: few blocks with little padding."""


@dataclass(frozen=True)
class Span:
    """Tokens ``start … start + length`` of the row, and the index of the span that they continue, if any."""

    start: int
    length: int
    prefix: int | None = None


@dataclass(frozen=True)
class Move:
    """A gather of rows and its inverse; an index one past the end gives a row of zeros."""

    index: Tensor
    inverse: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        moved: Tensor = _Gather.apply(rows, self.index, self.inverse)
        return moved

    def undo(self, rows: Tensor) -> Tensor:
        """The rows in their original order."""
        moved: Tensor = _Gather.apply(rows, self.inverse, self.index)
        return moved


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return pad(rows, (0, 0, 0, 1)).index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return pad(gradients[0], (0, 0, 0, 1)).index_select(0, inverse), None, None


@dataclass(frozen=True)
class Block:
    """Spans of similar length as rows of one tensor."""

    height: int
    width: int
    """Number of spans, and tokens of the longest."""
    prefixes: Tensor | None
    """int64 [height], index of each span's prefix among the prefix rows; None if these spans have no prefix."""
    before: tuple[int, ...]
    """Length of each span's prefix; empty if these spans have none."""
    mask: Tensor | None
    """bool, broadcast to [height, 1, width, longest prefix + width]; None for plain causal attention."""


@dataclass(frozen=True)
class SpanTable:
    """The spans of one row, prepared once for all layers."""

    blocks: list[Block]
    tokens: Move
    """From the row to the blocks, one after the other."""
    prefix_tokens: Move | None
    """From the row to the prefix rows, padded to one width."""
    prefix_shape: tuple[int, int]
    spans: tuple[Span, ...] = ()
    """What it was made from."""
    within: dict[int, list[Tensor]] = field(default_factory=dict)
    """Masks of the blocks by sliding window, made when a layer asks for them."""

    def masks(self, window: int | None, device: torch.device) -> Sequence[Tensor | None]:
        """The mask of each block, for layers where a token sees the last ``window`` tokens, itself included, or all."""
        if window is None or all(block.width + max(block.before, default=0) <= window for block in self.blocks):
            return [block.mask for block in self.blocks]
        if window not in self.within:
            made = (_mask(block.width, block.before, self.prefix_shape[1], window) for block in self.blocks)
            self.within[window] = [mask.to(device) for mask in made]
        return self.within[window]

    def to(self, device: torch.device) -> SpanTable:
        """The table on a device."""
        if device.type == "cpu":
            return self
        return _moved(self, device)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    if isinstance(value, dict):  # masks, which are made where they are used
        return {}
    if isinstance(value, Block | Move | SpanTable):
        return type(value)(**{f.name: _moved(getattr(value, f.name), device) for f in fields(value)})
    return value


def table(spans: Sequence[Span], size: int) -> SpanTable:
    """The table of a row of ``size`` tokens, each in exactly one span."""
    prefix_ids = sorted({span.prefix for span in spans if span.prefix is not None})
    longest = max((spans[i].length for i in prefix_ids), default=0)
    prefix_rows = [_places(spans[i], longest, size) for i in prefix_ids]
    blocks, places = [], []
    for members in _alike(spans):
        width = max(spans[i].length for i in members)
        places += [_places(spans[i], width, size) for i in members]
        blocks.append(_block([spans[i] for i in members], width, spans, prefix_ids, longest))
    return SpanTable(
        blocks,
        _move(np.concatenate(places), size),
        _move(np.concatenate(prefix_rows), size) if prefix_rows else None,
        (len(prefix_ids), longest),
        tuple(spans),
    )


def _places(span: Span, width: int, size: int) -> np.ndarray:
    places = np.full(width, size, dtype=np.int64)
    places[: span.length] = np.arange(span.start, span.start + span.length)
    return places


def _move(index: np.ndarray, size: int) -> Move:
    inverse = np.full(size, len(index), dtype=np.int64)
    real = index < size
    inverse[index[real]] = np.flatnonzero(real)
    return Move(torch.from_numpy(index), torch.from_numpy(inverse))


def _alike(spans: Sequence[Span]) -> list[list[int]]:
    """Indices of spans that make a block: those with a prefix apart, sorted by length, cut where padding would grow."""
    order = sorted(range(len(spans)), key=lambda i: (spans[i].prefix is None, -spans[i].length, i))
    found: list[list[int]] = []
    for i in order:
        first = spans[found[-1][0]] if found else None
        least = min(SLACK * first.length, first.length - SHORT) if first else 0
        if first and (first.prefix is None) == (spans[i].prefix is None) and spans[i].length >= least:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def _block(members: list[Span], width: int, spans: Sequence[Span], prefix_ids: list[int], longest: int) -> Block:
    if members[0].prefix is None:
        return Block(len(members), width, None, (), None)
    before = tuple(spans[member.prefix or 0].length for member in members)
    rows = torch.tensor([prefix_ids.index(member.prefix or 0) for member in members])
    return Block(len(members), width, rows, before, _mask(width, before, longest, None))


def _mask(width: int, before: Sequence[int], longest: int, window: int | None) -> Tensor:
    """Which keys, of the prefix and then of the span itself, each token sees: bool [height or 1, 1, width, longest +
    width], or [1, 1, width, width] without prefixes."""
    own = torch.ones(width, width, dtype=torch.bool).tril()
    if window is not None:
        own = own.triu(1 - window)
    if not before:
        return own[None, None]
    lengths = torch.tensor(before[:1] if min(before) == longest else before)  # if equal, all have the same mask
    keys = torch.arange(longest)
    seen = (keys < lengths[:, None])[:, None].expand(-1, width, -1)
    if window is not None:
        seen = seen & (lengths[:, None, None] + torch.arange(width)[:, None] - keys < window)
    return torch.cat([seen, own.expand(len(seen), width, width)], dim=-1)[:, None]


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    spans: SpanTable | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [1, H, T, D], key [1, Hkv, T, D] and value [1, Hkv, T, Dv] to
    [1, T, H, Dv]. A layer with a sliding window gives it."""
    assert spans is not None, "a model that passes no keyword arguments to its attention can't be trained here"
    heads = (query.shape[1], key.shape[1], value.shape[1])
    sizes = (query.shape[-1], key.shape[-1], value.shape[-1])
    flat = [states[0].transpose(0, 1).flatten(1) for states in (query, key, value)]  # [T, heads * D]
    packed = [spans.tokens(states) for states in flat]
    prefixes = [spans.prefix_tokens(states) for states in flat[1:]] if spans.prefix_tokens else []
    answers, start = [], 0
    for block, mask in zip(spans.blocks, spans.masks(sliding_window, query.device), strict=True):
        end = start + block.height * block.width
        q, k, v = (
            states[start:end].unflatten(0, (block.height, block.width)).unflatten(2, (n, size)).transpose(1, 2)
            for states, n, size in zip(packed, heads, sizes, strict=True)
        )  # [height, heads, width, D]
        if block.prefixes is not None:
            before = [
                rows.unflatten(0, spans.prefix_shape).index_select(0, block.prefixes).unflatten(2, (n, size))
                for rows, n, size in zip(prefixes, heads[1:], sizes[1:], strict=True)
            ]
            k, v = (torch.cat([b.transpose(1, 2), own], dim=2) for b, own in zip(before, (k, v), strict=True))
        repeats = heads[0] // heads[1]
        if repeats > 1:
            k, v = (states.repeat_interleave(repeats, dim=1) for states in (k, v))
        answer = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling
        )
        answers.append(answer.transpose(1, 2).flatten(0, 1).flatten(1))
        start = end
    out = spans.tokens.undo(torch.cat(answers))
    return out.unflatten(1, (heads[0], -1))[None], None


def install(model: torch.nn.Module) -> None:
    """Make a Hugging Face model use this attention."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)
