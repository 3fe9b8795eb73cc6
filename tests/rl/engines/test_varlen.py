"""Attention as a kernel for sequences of several lengths is called, against the attention that works everywhere."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from rl.engines.attention import Span, attend, table
from rl.engines.layout import gather, units
from rl.engines.varlen import attend_by, attention, by_torch, chosen, importable, lengths
from tests.rl.ranks import policy_examples

HEADS, KV_HEADS, WIDTH = 4, 2, 8


def kernel(query, key, value, of, scale, window):
    """What such kernels compute, sequence by sequence: the causal mask is at the lower right."""
    found = []
    for number in range(len(of.queries_until) - 1):
        q = query[of.queries_until[number] : of.queries_until[number + 1]].transpose(0, 1)
        span = slice(of.keys_until[number], of.keys_until[number + 1])
        k, v = (states[span].repeat_interleave(HEADS // KV_HEADS, 1).transpose(0, 1) for states in (key, value))
        assert q.shape[1] <= of.most_queries and k.shape[1] <= of.most_keys
        scores = q @ k.transpose(1, 2) * scale
        hidden = torch.ones(scores.shape[1:], dtype=torch.bool).triu(k.shape[1] - q.shape[1] + 1)
        if window is not None:
            hidden |= torch.ones(scores.shape[1:], dtype=torch.bool).tril(k.shape[1] - q.shape[1] - window)
        found.append((scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v).transpose(0, 1))
    return torch.cat(found)


def states(tokens, dtype=torch.float64):
    torch.manual_seed(0)
    sizes = (HEADS, KV_HEADS, KV_HEADS)
    return [torch.randn(1, heads, tokens, WIDTH, dtype=dtype, requires_grad=True) for heads in sizes]


def rows():
    """A row of groups that share prompts, and one of documents and of a sequence alone."""
    batch = policy_examples()
    yield gather(batch, units(batch)[0] + units(batch)[1][:3] + [len(batch) - 1], torch.device("cpu")).spans
    yield table([Span(0, 5), Span(5, 1), Span(6, 40), Span(46, 3, prefix=0), Span(49, 7, prefix=2)], 56)


@pytest.mark.parametrize("window", [None, 4, 1000])
@pytest.mark.parametrize("spans", rows(), ids=["groups", "mixed"])
def test_answers_and_gradients_are_those_of_blocks(spans, window):
    tokens = sum(span.length for span in spans.spans)
    inputs = states(tokens)
    towards = torch.randn(1, tokens, HEADS, WIDTH, dtype=torch.float64)
    found, expected = [], []
    for answers, way in ((expected, attend), (found, lambda *a, **k: attend_by(kernel, *a, **k))):
        out, _ = way(torch.nn.Module(), *inputs, None, scaling=0.3, spans=spans, sliding_window=window)
        answers += [out.detach(), *torch.autograd.grad((out * towards).sum(), inputs)]
    for left, right in zip(found, expected, strict=True):
        assert torch.allclose(left, right, rtol=1e-10, atol=1e-12)


def test_a_span_has_the_keys_of_its_prefix_before_its_own():
    spans = (Span(0, 3), Span(3, 2, prefix=0), Span(5, 1, prefix=0), Span(6, 2))
    found = lengths(spans, torch.device("cpu"))
    assert found.keys.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 5, 6, 7]
    assert found.queries_until.tolist() == [0, 3, 5, 6, 8] and found.keys_until.tolist() == [0, 3, 8, 12, 14]
    assert (found.most_queries, found.most_keys) == (3, 5)
    assert {found.queries_until.dtype, found.keys_until.dtype} == {torch.int32}, "as the kernels ask for"
    assert lengths(spans, torch.device("cpu")) is found, "made once for all layers"


@pytest.mark.parametrize("window", [None, 3])
def test_torch_accepts_the_call(window):
    """Without a GPU there is no kernel, but torch checks names, types and shapes of what it would get."""
    spans = table([Span(0, 5), Span(5, 4, prefix=0)], 9)
    of = lengths(spans.spans, torch.device("cpu"))
    with FakeTensorMode(allow_non_fake_inputs=True):
        query, key, value = (one[0].transpose(0, 1) for one in states(9, torch.bfloat16))
        out = by_torch(query, key, value, of, 0.3, window)
    assert out.shape == (9, HEADS, WIDTH) and out.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("device", "dtype", "modules", "capability", "expected"),
    [
        ("cpu", torch.bfloat16, {"torch.nn.attention.varlen", "flash_attn"}, (0, 0), "blocks"),
        ("cuda", torch.float32, {"torch.nn.attention.varlen", "flash_attn"}, (9, 0), "blocks"),
        ("cuda", torch.bfloat16, {"torch.nn.attention.varlen", "flash_attn"}, (9, 0), "torch"),
        ("cuda", torch.bfloat16, {"flash_attn"}, (8, 0), "flash-attn"),
        ("cuda", torch.bfloat16, {"torch.nn.attention.varlen", "flash_attn"}, (7, 5), "blocks"),
        ("cuda", torch.bfloat16, set(), (9, 0), "blocks"),
    ],
)
def test_the_kernel_follows_device_and_packages(device, dtype, modules, capability, expected):
    assert chosen(device, dtype, modules.__contains__, capability) == expected


def test_without_a_gpu_attention_is_that_of_blocks():
    assert importable("torch.nn.attention.varlen") and not importable("no_such_package.module")
    if not torch.cuda.is_available():
        assert attention("auto", torch.bfloat16) is attend
    assert attention("blocks", torch.bfloat16) is attend
