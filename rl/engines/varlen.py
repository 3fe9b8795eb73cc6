"""Attention over a flat row of tokens by a kernel for sequences of several lengths, which pads nothing (CUDA).

Same answers as :func:`rl.engines.attention.attend`, which works everywhere. The queries of each span are a sequence;
its keys and values are those of its prefix and its own, one after the other. Such kernels put the causal mask at the
lower right where there are more keys than queries, so that a span sees its whole prefix: one call does it all, and of a
shared prompt only keys and values are copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl.engines.attention import Span, SpanTable, attend

Attention = Callable[..., tuple[Tensor, None]]
"""transformers' attention interface, with ``spans``."""


@dataclass(frozen=True)
class Lengths:
    """The spans of one row as sequences."""

    keys: Tensor
    """int64 [K], the places in the row of each span's keys: its prefix, then itself."""
    queries_until: Tensor
    """int32 [N + 1], 0 and where each span's queries end in the row."""
    keys_until: Tensor
    """int32 [N + 1], the same for :attr:`keys`."""
    most_queries: int
    most_keys: int


@lru_cache(maxsize=16)  # for all layers, of the micro-batches that are on their way through a pipeline
def lengths(spans: tuple[Span, ...], device: torch.device) -> Lengths:
    """The spans of a row, which follow one another, as sequences."""
    own, places = [span.length for span in spans], []
    assert [span.start for span in spans] == np.cumsum([0, *own[:-1]]).tolist()
    for span in spans:
        before = [] if span.prefix is None else [spans[span.prefix]]
        places.append(np.concatenate([np.arange(s.start, s.start + s.length) for s in (*before, span)]))
    seen = [len(one) for one in places]
    queries, keys = (np.cumsum([0, *counts]).astype(np.int32) for counts in (own, seen))
    return Lengths(
        torch.from_numpy(np.concatenate(places)).to(device),
        torch.from_numpy(queries).to(device),
        torch.from_numpy(keys).to(device),
        max(own),
        max(seen),
    )


def by_torch(
    query: Tensor, key: Tensor, value: Tensor, of: Lengths, scale: float | None, window: int | None = None
) -> Tensor:
    """torch's kernel: query [T, H, D], key and value [K, Hkv, D] to [T, H, D]; a token sees the last ``window`` tokens,
    itself included, or all before it."""
    from torch.nn.attention.varlen import varlen_attn

    found: Tensor = varlen_attn(
        query, key, value, of.queries_until, of.keys_until, of.most_queries, of.most_keys, scale=scale,
        window_size=(_back(window), 0), enable_gqa=True,
    )  # fmt: skip
    return found


def by_flash_attn(
    query: Tensor, key: Tensor, value: Tensor, of: Lengths, scale: float | None, window: int | None = None
) -> Tensor:
    """The kernel of the package flash-attn, of the same shapes."""
    found: Tensor = import_module("flash_attn").flash_attn_varlen_func(
        query, key, value, of.queries_until, of.keys_until, of.most_queries, of.most_keys, softmax_scale=scale,
        causal=True, window_size=(_back(window), 0),
    )  # fmt: skip
    return found


def _back(window: int | None) -> int:
    """How many tokens before itself a token sees, as the kernels count it: -1 is all."""
    return -1 if window is None else window - 1


def attend_by(
    kernel: Callable[[Tensor, Tensor, Tensor, Lengths, float | None, int | None], Tensor],
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    spans: SpanTable | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """:func:`rl.engines.attention.attend` by a kernel."""
    assert spans is not None
    of = lengths(spans.spans, query.device)
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    k, v = (states.index_select(0, of.keys) for states in (k, v))
    return kernel(q.contiguous(), k, v, of, scaling, sliding_window)[None], None


KERNELS = {"torch": by_torch, "flash-attn": by_flash_attn}
CAPABILITY = (8, 0)
"""What a GPU must be capable of (Ampere)."""


def chosen(device: str, dtype: torch.dtype, have: Callable[[str], bool], capability: tuple[int, int]) -> str:
    """The kernel for a device: a name in :data:`KERNELS`, or ``blocks`` for :func:`rl.engines.attention.attend`.

    Args:
        device: its name in torch.
        dtype: of queries, keys and values.
        have: whether a module can be imported.
        capability: of the GPU.
    """
    if device != "cuda" or dtype not in (torch.bfloat16, torch.float16) or capability < CAPABILITY:
        return "blocks"
    if have("torch.nn.attention.varlen"):
        return "torch"
    return "flash-attn" if have("flash_attn") else "blocks"


def attention(kernels: str, dtype: torch.dtype) -> Attention:
    """The attention of this process, by ``trainer.kernels``."""
    cuda = torch.cuda.is_available()
    capability = torch.cuda.get_device_capability() if cuda else (0, 0)
    name = "blocks" if kernels == "blocks" else chosen("cuda" if cuda else "cpu", dtype, importable, capability)
    return partial(attend_by, KERNELS[name]) if name in KERNELS else attend


def importable(name: str) -> bool:
    """Whether there is a module of this name."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False
