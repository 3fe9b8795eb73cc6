"""Rows that are dealt over ranks: what each has of them, attention against one by hand, rows shorter than the ranks."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from rl.engines.attention import Span
from rl.engines.megatron import context
from rl.samples import supervised_batch
from tests.rl.engines.test_megatron import LAYOUTS, MEGATRON, OPTIM
from tests.rl.ranks import on_ranks

SPANS = [Span(0, 9), Span(9, 5, 0), Span(14, 12, 0), Span(26, 40), Span(66, 1)]
SIZE, HEADS, KV_HEADS, WIDTH = 67, 4, 2, 16


def by_hand(query, key, value):
    """Attention over all places at once: each sees its span up to itself, and the whole prefix of the span."""
    sees = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for span in SPANS:
        places = slice(span.start, span.start + span.length)
        sees[places, places] = torch.ones(span.length, span.length, dtype=torch.bool).tril()
        if span.prefix is not None:
            before = SPANS[span.prefix]
            sees[places, before.start : before.start + before.length] = True
    key, value = (states.repeat_interleave(HEADS // KV_HEADS, 1) for states in (key, value))
    scores = torch.einsum("qhd,khd->hqk", query, key) / WIDTH**0.5
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~sees, -torch.inf).softmax(-1), value)


def by_lengths(query, both, own):
    """What the kernel for sequences of several lengths gets, in which the last query of each sees the last key."""
    keys, answers = both[own.keys], []
    for (first, end), (start, stop) in zip(*(pairwise(row) for row in own.starts.tolist()), strict=True):
        q, (k, v) = query[first:end], keys[start:stop].repeat_interleave(HEADS // KV_HEADS, 1).chunk(2, -1)
        sees = torch.ones(len(q), len(k), dtype=torch.bool).tril(len(k) - len(q))
        scores = torch.einsum("qhd,khd->hqk", q, k) / WIDTH**0.5
        answers.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(~sees, -torch.inf).softmax(-1), v))
    return torch.cat(answers)


@pytest.mark.parametrize(("ranks", "multiple"), [(2, 1), (2, 2), (3, 1), (4, 4), (64, 1)])
def test_dealt_attention_is_attention_over_the_whole_row(ranks, multiple):
    torch.manual_seed(0)
    query, key, value = (torch.randn(SIZE, n, WIDTH, requires_grad=True) for n in (HEADS, KV_HEADS, KV_HEADS))
    weights = torch.randn(SIZE, HEADS, WIDTH)
    expected = by_hand(query, key, value)
    wanted = torch.autograd.grad((expected * weights).sum(), (query, key, value))
    dealt = torch.from_numpy(context.chunks(SIZE, ranks, multiple))
    assert sorted(dealt.flatten().tolist()) == list(range(dealt.numel())) and dealt.shape[1] % multiple == 0
    padded = [
        torch.cat([x, torch.randn(dealt.numel() - SIZE, *x.shape[1:])]) for x in (query, torch.cat([key, value], -1))
    ]
    found = torch.zeros(dealt.numel(), HEADS, WIDTH)
    for rank in range(ranks):
        own = context.share(SPANS, SIZE, rank, ranks, multiple)
        assert own.tokens.equal(dealt[rank]) and own.padding == dealt.numel() - SIZE
        answer = context._Attention.apply(padded[0][own.tokens], padded[1][dealt.flatten()], own, None)
        assert (answer - by_lengths(padded[0][own.tokens], padded[1][dealt.flatten()], own)).abs().max() < 1e-6
        found = found.index_copy(0, own.tokens, answer)
    assert (found[:SIZE] - expected).abs().max() < 1e-6
    for gradient, right in zip(
        torch.autograd.grad((found[:SIZE] * weights).sum(), (query, key, value)), wanted, strict=True
    ):
        assert (gradient - right).abs().max() < 1e-5


def pairs(own):
    """Pairs of a query and a key that a rank computes."""
    return sum(n * seen - n * (n - 1) // 2 for n, seen in own.pieces)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_a_long_sequence_is_the_same_work_on_every_rank(ranks):
    """In one piece each, the last rank would have 2 - 1/n times the mean."""
    size = 32_768
    work = [pairs(context.share([Span(0, size)], size, rank, ranks, 1)) for rank in range(ranks)]
    assert sum(work) == size * (size + 1) // 2
    assert max(work) / min(work) == pytest.approx(1, abs=1e-3)
    last = size // ranks
    assert (last * size - last * (last - 1) // 2) / (sum(work) / ranks) == pytest.approx(2 - 1 / ranks, abs=1e-3)


def short(actor, batch):
    limits = {"max_tokens_per_microbatch": 8}
    found = actor.log_probs(batch, **limits)
    actor.begin_stage(OPTIM, 10)
    return *found, actor.update(batch, None, **limits)


@pytest.mark.parametrize("layout", ["cp2", "cp2 tp2 with sequence parallelism", "cp4"])
def test_rows_shorter_than_the_ranks_are_padded(models, layout):
    """Rows of two and three tokens, one of which predicts nothing: some ranks have padding alone."""
    batch = supervised_batch([([40, 41, 42], 1), ([50, 51], 1), ([60, 61], 2)])
    ((_, expected, wanted),) = on_ranks(short, models["tied"], 1, batch)
    world_size, keys = LAYOUTS.get(layout, (4, {"context_parallel": 4}))
    ranks = on_ranks(short, models["tied"], world_size, batch, **MEGATRON, **keys)
    assert [rows for rows, *_ in ranks] == [[0, 1, 2]] + [[]] * (world_size - 1)
    assert np.abs(ranks[0][1] - expected).max() < 1e-5
    metrics = [step for *_, step in ranks if step is not None]
    assert len(metrics) == 1
    for name, value in wanted.items():
        assert metrics[0][name] == pytest.approx(value, rel=1e-4), name
