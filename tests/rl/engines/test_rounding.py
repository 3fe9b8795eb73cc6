"""One more rounding of each number moves log-probs about as far as fp32 is from fp64, whatever the weights are."""

import pytest
import torch

from rl.engines.rounding import rounded_again
from rl.weights.checks import ROUNDINGS
from tests.rl.engines.architectures import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build("gemma-3", tmp_path_factory.mktemp("rounding") / "gemma-3")


def log_probs(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits[0].log_softmax(-1)[:-1].gather(-1, ids[0, 1:, None])[:, 0]


@pytest.mark.parametrize("growth", [1, 30, 1000])
def test_the_tolerance_is_above_what_fp32_loses_and_not_far_above(folder, growth):
    """With logits that are larger, rounding is, too."""
    from transformers import AutoModelForCausalLM

    ids = torch.randint(10, 1000, (1, 64), generator=torch.Generator().manual_seed(0))
    models = [AutoModelForCausalLM.from_pretrained(folder, dtype=dtype) for dtype in (torch.float32, torch.float64)]
    for model in models:
        model.model.norm.weight.data.add_(1).mul_(growth).sub_(1)
    found, wanted = (log_probs(model, ids) for model in models)
    moved = []
    for _ in range(2):
        with rounded_again():
            moved.append(log_probs(models[0], ids))
    assert torch.equal(*moved) and not torch.equal(moved[0], found)
    assert torch.equal(log_probs(models[0], ids), found), "afterwards nothing is moved"
    lost, allowed = (found - wanted).abs().max(), ROUNDINGS * (moved[0] - found).abs().max()
    assert 2 * lost < allowed < 200 * lost, (lost, allowed)
    if growth == 1000:
        assert lost > 1e-4, "a fixed tolerance would refuse this model"
