"""Context parallelism: the tokens of a row dealt over ranks, which attend with their own queries to everyone's keys.

A row is cut into twice as many chunks as there are ranks, and each rank has one from the front and the one as far from
the end. Causal attention over one long sequence is then the same work on every rank; in one piece each, the last of n
ranks would have 2 - 1/n times its share. Everything beside attention sees the rank's own tokens alone. Keys and values
of all ranks are gathered in every layer; on the way back their gradients are added up and dealt again.

Log-probs are computed where the hidden state is that predicts them, and then known on every rank: the loss, which may
need a whole sequence, is the same there, and each rank's gradient is that of its own tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from megatron.core import tensor_parallel
from torch import Tensor

from rl.engines.attention import Span
from rl.engines.layout import MicroBatch


@dataclass(frozen=True)
class Share:
    """What one rank has of a row; with others it makes the row, padded so that all have the same number of tokens.

    The rank's tokens are cut into pieces, each of tokens of one span that lie together. A piece sees the span's prefix,
    the span up to the piece, and last itself: query i of n sees the first M - n + 1 + i of M keys.
    """

    tokens: Tensor
    """int64 [L], places in the padded row."""
    padding: int
    """Tokens that are added to the row. They are a span of their own."""
    local: Tensor
    """int64 [padded row], the place of each token of the row among the rank's, -1 if it is elsewhere."""
    pieces: tuple[tuple[int, int], ...]
    """Number of queries and of keys, in the order of the rank's tokens."""
    keys: Tensor
    """int64, what the pieces see, one after the other, as places among the gathered tokens of all ranks."""
    starts: Tensor
    """int32 [2, pieces + 1], where queries and keys of each piece start, and the last end."""

    def to(self, device: torch.device) -> Share:
        """The share on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("tokens", "local", "keys", "starts")}
        return self if device.type == "cpu" else replace(self, **moved)


def chunks(size: int, ranks: int, multiple: int) -> np.ndarray:
    """The places of a row of ``size`` tokens, dealt: int64 [ranks, L], with padding from ``size`` on.

    L is a multiple of ``multiple``, over which tensor-parallel ranks may cut it again.
    """
    length = -(-size // (2 * ranks))
    length = -(-length // multiple) * multiple
    rows = np.arange(2 * ranks * length).reshape(2 * ranks, length)
    return np.concatenate([rows[:ranks], rows[: ranks - 1 : -1]], axis=1)


def share(spans: Sequence[Span], size: int, rank: int, ranks: int, multiple: int) -> Share:
    """What a rank has of a row of ``size`` tokens, each in exactly one span."""
    dealt = chunks(size, ranks, multiple)
    spans = [*spans, *([Span(size, dealt.size - size)] if dealt.size > size else [])]
    gathered, local = (np.full(dealt.size, -1) for _ in range(2))
    gathered[dealt.ravel()] = np.arange(dealt.size)
    local[dealt[rank]] = np.arange(dealt.shape[1])
    pieces, keys = [], []
    for chunk in np.split(dealt[rank], 2):
        first, end = int(chunk[0]), int(chunk[-1]) + 1
        for span in sorted(spans, key=lambda span: span.start):
            start, stop = max(first, span.start), min(end, span.start + span.length)
            if start < stop:
                before = [] if span.prefix is None else [spans[span.prefix]]
                seen = [np.arange(one.start, one.start + one.length) for one in before] + [np.arange(span.start, stop)]
                keys.append(gathered[np.concatenate(seen)])
                pieces.append((stop - start, len(keys[-1])))
    return Share(
        torch.from_numpy(dealt[rank].copy()),
        dealt.size - size,
        torch.from_numpy(local),
        tuple(pieces),
        torch.from_numpy(np.concatenate(keys)),
        torch.from_numpy(np.cumsum([(0, 0), *pieces], axis=0, dtype=np.int32).T.copy()),
    )


def attend(
    query: Tensor, key: Tensor, value: Tensor, own: Share, scale: float | None, group: dist.ProcessGroup
) -> Tensor:
    """query [L, H, D], key and value [L, Hkv, D] of this rank's tokens to [L, H, D]. A collective."""
    both: Any = tensor_parallel.gather_from_sequence_parallel_region(torch.cat([key, value], -1), group=group)
    if query.is_cuda:
        return _on_cuda(query, both, own, scale)
    answer: Tensor = _Attention.apply(query, both, own, scale)
    return answer


def _on_cuda(query: Tensor, both: Tensor, own: Share, scale: float | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    key, value = both.index_select(0, own.keys).chunk(2, -1)
    most = [max(sizes) for sizes in zip(*own.pieces, strict=True)]
    causal, groups = (-1, 0), query.shape[1] != key.shape[1]
    answer: Tensor = varlen_attn(  # the last query of a piece sees its last key
        query, key, value, *own.starts, *most, scale=scale, window_size=causal, enable_gqa=groups
    )
    return answer


class _Attention(torch.autograd.Function):
    """On a CPU: (queries [L, H, D], gathered keys and values [n · L, Hkv, 2 · D]) to [L, H, D], without masks.

    A piece attends to what comes before it and causally to itself; the two answers are weighted by their sums of
    exponentials. Backward, the kernel needs only those of both together.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, both: Tensor, own: Share, scale: float | None) -> Tensor:
        out, log_sums = torch.empty_like(query), []
        for queries, parts in _parts(own):
            q = query[queries].transpose(0, 1)[None]
            answers = [
                torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                    q, *_repeated(both, keys, query.shape[1]), 0.0, causal, scale=scale
                )
                for keys, causal in parts
            ]
            log_sum = torch.logsumexp(torch.stack([one for _, one in answers]), 0)
            weighted = torch.stack([answer * (one - log_sum).exp()[..., None] for answer, one in answers])
            out[queries] = weighted.sum(0)[0].transpose(0, 1).to(out.dtype)
            log_sums.append(log_sum)
        ctx.save_for_backward(query, both, out, *log_sums)
        ctx.own, ctx.scale = own, scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query, both, out, *log_sums = ctx.saved_tensors
        to_query, to_both = torch.zeros_like(query), torch.zeros_like(both)
        for (queries, parts), log_sum in zip(_parts(ctx.own), log_sums, strict=True):
            gradient, q, answer = (x[queries].transpose(0, 1)[None] for x in (gradients[0], query, out))
            for keys, causal in parts:
                k, v = _repeated(both, keys, query.shape[1])
                to_q, *to_kv = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                    gradient, q, k, v, answer, log_sum, 0.0, causal, scale=ctx.scale
                )
                to_query[queries] += to_q[0].transpose(0, 1)
                of_heads = torch.cat(to_kv, -1)[0].unflatten(0, (both.shape[1], -1)).sum(1)  # [Hkv, M, 2 · D]
                to_both.index_add_(0, keys, of_heads.transpose(0, 1))
        return to_query, to_both, None, None


def _parts(own: Share) -> Iterator[tuple[slice, list[tuple[Tensor, bool]]]]:
    """Queries of each piece, the keys that all of them see, and its own, of which they see those up to themselves."""
    start = 0
    for (queries, _), keys in zip(own.pieces, own.keys.split([seen for _, seen in own.pieces]), strict=True):
        before, these = keys.tensor_split([len(keys) - queries])
        yield slice(start, start + queries), [(before, False), (these, True)] if len(before) else [(these, True)]
        start += queries


def _repeated(both: Tensor, keys: Tensor, heads: int) -> list[Tensor]:
    """Keys and values [1, H, M, D] of some places, repeated to the heads of the queries."""
    found = both.index_select(0, keys).transpose(0, 1).repeat_interleave(heads // both.shape[1], 0)[None]
    return [part.contiguous() for part in found.chunk(2, -1)]


class _Join(torch.autograd.Function):
    """Values of this rank's targets [S', …] to those of all [S, …], which every rank then has and uses alike."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, mine: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.save_for_backward(mine)
        whole = values.new_zeros(len(mine), *values.shape[1:])
        whole[mine] = values
        dist.all_reduce(whole, group=group)  # the others have zeros in these places: the bits stay as they are
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (mine,) = ctx.saved_tensors
        return gradients[0][mine], None, None


class Context:
    """The ranks over which a row is dealt."""

    def __init__(self, group: dist.ProcessGroup, multiple: int) -> None:
        """``multiple``: see :func:`chunks`."""
        self.group, self._multiple = group, multiple

    def share(self, spans: Sequence[Span], size: int) -> Share:
        """What this rank has of a row."""
        return share(spans, size, self.group.rank(), self.group.size(), self._multiple)

    def cut(self, micro: MicroBatch) -> tuple[MicroBatch, Tensor]:
        """This rank's tokens of a micro-batch with the targets that they predict, and which of all targets these are
        (bool [S])."""
        own: Share = micro.spans
        ids, positions = (
            F.pad(row, (0, own.padding)).index_select(1, own.tokens) for row in (micro.input_ids, micro.position_ids)
        )
        places = own.local[micro.sources]
        here = places >= 0
        mine, number = here[micro.source_of], here.cumsum(0) - 1
        targets, source_of = micro.targets[mine], number[micro.source_of[mine]]
        sources = places[here]
        cut = replace(micro, input_ids=ids, position_ids=positions, sources=sources, source_of=source_of)
        return replace(cut, targets=targets), mine

    def join(self, values: Tensor, mine: Tensor) -> Tensor:
        """Values of all targets [S, …] from those of this rank's. A collective."""
        joined: Tensor = _Join.apply(values, mine, self.group)
        return joined
