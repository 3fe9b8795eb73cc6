"""Layers that attend within a sliding window: the engine's attention against one written token by token."""

import pytest
import torch

from rl.engines.attention import Span, attend, table
from rl.engines.support import require_supported
from rl.engines.twin import require_exact
from rl.errors import UserError
from tests.rl.engines.test_support import config

HEADS, KV_HEADS, WIDTH = 4, 2, 8
ROW = [Span(0, 9), Span(9, 6, prefix=0), Span(15, 2, prefix=0), Span(17, 14), Span(31, 3, prefix=3), Span(34, 1)]
"""Groups with prompts of two lengths, and a sequence alone."""


def one_by_one(query, key, value, window):
    """Each token with the last ``window`` tokens of its sequence, itself included: [1, T, H, D]."""
    found = []
    for span in ROW:
        before = [] if span.prefix is None else [ROW[span.prefix]]
        keys = [place for part in (*before, span) for place in range(part.start, part.start + part.length)]
        for token in range(span.start, span.start + span.length):
            seen = keys[: keys.index(token) + 1][-window:]
            k, v = (states[0, :, seen].repeat_interleave(HEADS // KV_HEADS, 0) for states in (key, value))
            scores = (k @ query[0, :, token, :, None])[..., 0] * 0.3
            found.append((scores.softmax(-1)[:, None] @ v)[:, 0])
    return torch.stack(found)[None]


@pytest.mark.parametrize("window", [1, 2, 5, 9, 16, 40])
def test_a_token_sees_its_window_through_its_prompt(window):
    torch.manual_seed(0)
    spans = table(ROW, 35)
    states = [
        torch.randn(1, n, 35, WIDTH, dtype=torch.float64, requires_grad=True) for n in (HEADS, KV_HEADS, KV_HEADS)
    ]
    towards = torch.randn(1, 35, HEADS, WIDTH, dtype=torch.float64)
    answers = attend(torch.nn.Module(), *states, None, scaling=0.3, spans=spans, sliding_window=window)[0]
    wanted = one_by_one(*states, window)
    torch.testing.assert_close(answers, wanted, rtol=1e-10, atol=1e-12)
    gradients = (torch.autograd.grad((found * towards).sum(), states) for found in (answers, wanted))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    whole = attend(torch.nn.Module(), *states, None, scaling=0.3, spans=spans)[0]
    assert torch.allclose(answers, whole) == (window >= 17), "the longest prompt with its completion has 17 tokens"


def test_a_window_shorter_than_the_sequences_needs_the_engine_that_computes_it():
    model = config("mistral", sliding_window=96)
    require_supported(model, 128)
    with pytest.raises(UserError, match=r"window of 96 tokens, less than model\.max_length=128; lower"):
        require_supported(model, 128, slides=False)


def test_a_window_that_a_layer_does_not_hand_over_is_found(monkeypatch):
    """The small model of an architecture has sequences longer than its window, however long that is."""
    from transformers.models.mistral import modeling_mistral

    model = config("mistral", sliding_window=4096, max_position_embeddings=8192)
    require_exact(model, 8192)
    forward = modeling_mistral.MistralAttention.forward

    def without(self, *given, **named):
        self.config.sliding_window, kept = None, self.config.sliding_window
        try:
            return forward(self, *given, **named)
        finally:
            self.config.sliding_window = kept

    monkeypatch.setattr(modeling_mistral.MistralAttention, "forward", without)
    with pytest.raises(UserError, match="attention or output layer does not"):
        require_exact(model, 8192)
    require_exact(model, 4096)  # within the window
