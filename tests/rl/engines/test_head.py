"""The output layer that returns log-probs: its values, its gradients, and its memory."""

import subprocess
import sys

import pytest
import torch
from torch.nn.functional import linear

from rl.engines.head import log_probs_and_entropy
from rl.engines.support import require_supported
from rl.errors import UserError

SIZES = {"one slice": 2**26, "two tokens a slice": 2 * 4 * 50, "one token a slice": 1}


def plain(hidden, weight, targets, temperature):
    """The same with whole logits and autograd."""
    log_softmax = (linear(hidden, weight) / temperature).log_softmax(-1)
    entropy = -(log_softmax.exp() * log_softmax).sum(-1)
    return log_softmax.gather(-1, targets[:, None])[:, 0], entropy


@pytest.mark.parametrize("slices", SIZES)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_values_and_gradients_equal_autograd(slices, temperature):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 12, generator=generator)
    weight = torch.randn(50, 12, generator=generator)
    targets = torch.randint(50, (7,), generator=generator)
    slopes = torch.randn(2, 7, generator=generator)
    found, gradients = [], []
    for function in (plain, lambda *a: log_probs_and_entropy(*a, slice_bytes=SIZES[slices])):
        for with_entropy in (True, False):
            h, w = (t.clone().requires_grad_() for t in (hidden, weight))
            log_probs, entropy = function(h, w, targets, temperature)
            (log_probs * slopes[0] + (entropy * slopes[1] if with_entropy else 0)).sum().backward()
            found.append((log_probs, entropy))
            gradients.append((h.grad, w.grad))
    for left, right in ((0, 2), (1, 3)):
        for a, b in zip((*found[left], *gradients[left]), (*found[right], *gradients[right]), strict=True):
            assert torch.allclose(a, b, atol=2e-5), (a - b).abs().max()


def test_in_bf16_many_slices_lose_no_more_than_one():
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(rows, 16, generator=generator).bfloat16() for rows in (512, 64))
    targets = torch.randint(64, (512,), generator=generator)
    exact = weight.double().requires_grad_()
    plain(hidden.double(), exact, targets, 1.0)[0].sum().backward()
    errors = []
    for slice_bytes in (1, 2**26):
        found = weight.clone().requires_grad_()
        log_probs_and_entropy(hidden, found, targets, slice_bytes=slice_bytes)[0].sum().backward()
        errors.append(float((found.grad.double() - exact.grad).norm() / exact.grad.norm()))
    assert errors[0] < 1.5 * errors[1] < 0.01, errors


def test_a_frozen_output_layer_gets_no_gradient():
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(9, 4)
    log_probs_and_entropy(hidden, weight, torch.tensor([1, 2, 3]))[0].sum().backward()
    assert hidden.grad is not None and weight.grad is None


def test_models_whose_log_probs_would_be_wrong_are_refused():
    from transformers import Gemma2Config, MistralConfig, Qwen3Config

    with pytest.raises(UserError, match="final_logit_softcapping"):
        require_supported(Gemma2Config(), 512)
    with pytest.raises(UserError, match="window of 4096 tokens"):
        require_supported(MistralConfig(sliding_window=4096), 8192, slides=False)
    require_supported(MistralConfig(sliding_window=4096), 4096, slides=False)
    require_supported(MistralConfig(sliding_window=4096), 8192)
    require_supported(Qwen3Config(max_position_embeddings=40_960), 40_960)
    with pytest.raises(UserError, match="positions up to 256, less than"):
        require_supported(Qwen3Config(max_position_embeddings=256), 512)


MEASURE = """
import resource, torch
from rl.engines.head import log_probs_and_entropy
torch.set_num_threads(1)
tokens, vocabulary = {tokens}, 150_000
hidden = torch.randn(tokens, 16, requires_grad=True)
weight = torch.randn(vocabulary, 16, requires_grad=True)
targets = torch.randint(vocabulary, (tokens,))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
log_probs_and_entropy(hidden, weight, targets)[0].sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_full_logits_never_exist_at_a_vocabulary_of_150_000():
    """1,024 tokens: whole logits are 0.6 GB, and autograd holds them several times. The peak here does not even grow
    with the number of tokens."""
    grown = [
        int(subprocess.check_output([sys.executable, "-c", MEASURE.format(tokens=n)], text=True))
        for n in (256, 1024)
    ]  # fmt: skip
    assert grown[1] < 300 * 1024, f"{grown[1] / 1024:.0f} MB"
    assert grown[1] - grown[0] < 30 * 1024
