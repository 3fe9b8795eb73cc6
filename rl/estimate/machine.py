"""How fast this machine computes a model of given sizes: one second of one layer, its output layer and optimizer.

A layer of the model's sizes with random weights goes forward and backward in torch, as in the trainer: products,
norms, attention, and what lies between them. The time of a token is that of all layers and of the output layer.

It is measured as CPU time of one thread, which other work on the machine moves little.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rl.config.parallel import ModelShape

SECONDS = 1.0
"""Time of all measurements together."""
OPERATIONS = 4e9
"""Most operations of one pass, of which a core makes some 5e10 to 1e11 a second."""
SCALING = 0.4
"""The speed grows with the threads to this power: 1.32 times with two. An SFT step of the nano model takes 0.45 s with
``trainer.threads=1`` and 0.34 to 0.36 with two; larger models gain more."""
SIDE = 512
"""Most rows of the matrix on which Muon is measured; its operations tell the time of others."""
COLUMNS = 16_384
"""Most tokens of the vocabulary that are measured; more take in proportion."""


@dataclass(frozen=True)
class Work:
    """What is measured."""

    row: int
    """Tokens of a micro-batch."""
    length: int
    """Tokens of one sequence in it."""
    sequences: int
    """Sequences that are sampled together."""
    adapter: bool
    """Whether only an adapter is trained, so that the model's own matrices have no gradient."""
    muon: bool = False
    """Whether a stage uses Muon."""


@dataclass(frozen=True)
class Speed:
    """CPU-seconds of one thread of this machine."""

    train: float
    """Forward and backward of a token."""
    forward: float
    """Forward of a token."""
    decode: float
    """The products of one step of decoding, all sequences together."""
    update: float
    """AdamW, for one weight."""
    orthogonal: float = 0.0
    """Muon's iterations for the matrices of all layers; 0 where it is not used."""


def measure(shape: ModelShape, work: Work) -> Speed:
    """Measure a model's sizes; no tensor of the size of the model is made."""
    import torch
    from torch.optim.adamw import adamw

    width = shape.intermediate if not shape.mixtures else shape.experts_per_token * shape.expert_width
    matrices = shape.hidden * (shape.head_dim * 2 * (shape.heads + shape.kv_heads) + 3 * width)
    columns = min(shape.vocabulary, COLUMNS)
    most = int(OPERATIONS / (6 * max(matrices, columns * shape.hidden)))
    length = max(1, min(work.length, most))
    batch = max(1, min(work.row, most) // length)
    threads, generator = torch.get_num_threads(), torch.Generator().manual_seed(0)

    def random(*size: int) -> Any:
        return torch.randn(size, generator=generator) / math.sqrt(size[-1])

    layer = _layer(shape, width, random)
    head = random(columns, shape.hidden)
    weights = [*layer.values(), head]
    for weight in weights:
        weight.requires_grad_(not work.adapter)
    rows, step = random(batch, length, shape.hidden), random(min(work.sequences, most), 1, shape.hidden)
    rows.requires_grad_(True)
    targets = torch.zeros(batch * length, dtype=torch.long)
    moments = [[torch.zeros_like(weight) for weight in weights] for _ in range(2)]
    steps = [torch.zeros(()) for _ in weights]

    def through(given: Any) -> Any:
        return _forward(layer, shape, given)

    def answers(given: Any) -> Any:
        return torch.nn.functional.linear(given.reshape(-1, shape.hidden), head)

    def backward(of: Any) -> None:
        of.backward()
        rows.grad = None

    def update() -> None:  # AdamW's function: its class imports torch's compiler, which takes over a second
        gradients = [weight.grad for weight in weights]
        with torch.no_grad():
            adamw(
                weights, gradients, *moments, [], steps, amsgrad=False, beta1=0.9, beta2=0.999, lr=1e-4,
                weight_decay=0.01, eps=1e-8, maximize=False,
            )  # fmt: skip

    def without(compute: Callable[[Any], Any], given: Any) -> Callable[[], None]:
        def once() -> None:
            with torch.no_grad():
                compute(given)

        return once

    tokens, more = batch * length, shape.vocabulary / columns
    try:
        torch.set_num_threads(1)
        trained = _median(lambda: backward(through(rows).sum()))
        trained_head = _median(lambda: backward(torch.nn.functional.cross_entropy(answers(rows), targets)))
        updated = 0.0 if work.adapter else _median(update)
        read, read_head = _median(without(through, rows)), _median(without(answers, rows))
        decoded, decoded_head = _median(without(through, step)), _median(without(answers, step))
        orthogonal = _muon(shape, [weight.shape for weight in layer.values()]) if work.muon else 0.0
    finally:
        torch.set_num_threads(threads)
    share = work.sequences / len(step)
    return Speed(
        train=(shape.layers * trained + more * trained_head) / tokens,
        forward=(shape.layers * read + more * read_head) / tokens,
        decode=(shape.layers * decoded + more * decoded_head) * share,
        update=updated / sum(weight.numel() for weight in weights),
        orthogonal=orthogonal,
    )


def _muon(shape: ModelShape, matrices: Sequence[Sequence[int]]) -> float:
    """CPU-seconds of Muon's iterations for the matrices of all layers, from a part of one matrix."""
    import torch

    from rl.engines.muon import orthogonalised

    def operations(size: Sequence[int]) -> int:
        short, long = sorted(size)
        return short * short * (4 * long + 2 * short)

    rows, columns = sorted(matrices[-1])  # of the feed-forward part, whose matrices are the largest
    part = torch.randn(min(rows, SIDE), min(columns, columns * SIDE // rows))
    experts = shape.experts / max(1, shape.experts_per_token) if shape.mixtures else 1
    whole = shape.layers * experts * sum(operations(size) for size in matrices)
    return _median(lambda: orthogonalised(part)) * whole / operations(part.shape)


def faster(threads: int) -> float:
    """How many times faster so many threads are than one."""
    return float(threads**SCALING)


def _median(once: Callable[[], object]) -> float:
    """Median CPU-seconds of a call, the first left out; it takes a seventh of :data:`SECONDS`, or three calls."""
    once()
    found: list[float] = []
    until = time.perf_counter() + SECONDS / 7
    while len(found) < 2 or time.perf_counter() < until:
        began = time.thread_time()
        once()
        found.append(time.thread_time() - began)
    return statistics.median(found)


def _layer(shape: ModelShape, width: int, random: Callable[..., Any]) -> dict[str, Any]:
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    return {
        "queries": random(queries, shape.hidden),
        "keys": random(keys, shape.hidden),
        "values": random(keys, shape.hidden),
        "joined": random(shape.hidden, queries),
        "gate": random(width, shape.hidden),
        "up": random(width, shape.hidden),
        "down": random(shape.hidden, width),
    }


def _forward(layer: dict[str, Any], shape: ModelShape, rows: Any) -> Any:
    """A decoder layer on [sequences, tokens, hidden]."""
    from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

    def heads(name: str) -> Any:
        found = linear(normal, layer[name]).unflatten(-1, (-1, shape.head_dim))
        if name != "values":
            found = rms_norm(found, (shape.head_dim,)) if shape.qk_norm else found
            found = found + found.roll(shape.head_dim // 2, -1)  # as the positions' rotation does
        return found.transpose(1, 2)

    normal = rms_norm(rows, (shape.hidden,))
    seen = scaled_dot_product_attention(
        heads("queries"), heads("keys"), heads("values"), is_causal=True, enable_gqa=shape.heads != shape.kv_heads
    )
    rows = rows + linear(seen.transpose(1, 2).flatten(2), layer["joined"])
    normal = rms_norm(rows, (shape.hidden,))
    return rows + linear(silu(linear(normal, layer["gate"])) * linear(normal, layer["up"]), layer["down"])
