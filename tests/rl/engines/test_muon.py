"""Muon against torch's own Muon, on one and two ranks, and after a resume."""

import numpy as np
import pytest
import torch

from rl.config.stages import OptimConfig
from rl.engines.muon import Muon, orthogonalised
from tests.rl.ranks import on_ranks, ragged

OPTIM = OptimConfig(optimizer="muon", lr=2e-3, matrix_lr_ratio=3, schedule="cosine", warmup_steps=2, weight_decay=0.01)


def named():
    torch.manual_seed(0)
    shapes = {"embed_tokens": (50, 16), "q": (16, 24), "down": (40, 16), "norm": (16,)}
    return {name: torch.nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}


def test_every_singular_value_comes_near_one():
    for shape in ((32, 96), (96, 32), (24, 24)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape, generator=torch.Generator().manual_seed(1))))
        assert values.min() > 0.6 and values.max() < 1.3


def test_it_steps_as_torchs_muon_and_adamw_do():
    """torch iterates in bf16, hence the tolerance for matrices: a small part of a step."""
    ours, theirs = named(), named()
    optimizer = Muon(ours.items(), 1e-2, 3e-2, (0.9, 0.95), 0.1)
    matrices = [theirs["q"], theirs["down"]]
    muon = torch.optim.Muon(matrices, lr=3e-2, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(
        [theirs["embed_tokens"], theirs["norm"]], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1, eps=1e-8
    )
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        for name, parameter in ours.items():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            theirs[name].grad = parameter.grad.clone()
        for each in (optimizer, muon, adamw):
            each.step()
    for name, parameter in ours.items():
        tolerance = 2e-2 * 3e-2 * 0.2 * 40**0.5 if parameter.ndim == 2 and name != "embed_tokens" else 1e-7
        assert (parameter - theirs[name]).abs().max() < tolerance, name


def train(actor, batch, folder=None, load=False):
    actor.begin_stage(OPTIM, 10)
    if load:
        actor.load(folder, weights_only=False)
    else:
        for _ in range(2):
            actor.update(batch, None, max_tokens_per_microbatch=256)
        if folder:
            actor.save(folder)
    return [actor.update(batch, None, max_tokens_per_microbatch=256) for _ in range(3)], actor.log_probs(
        batch, max_tokens_per_microbatch=256
    )


def test_two_ranks_train_as_one_and_every_resume_goes_on_exactly(models, tmp_path):
    batch, folder = ragged(), str(tmp_path / "engine")
    straight, (rows, values) = on_ranks(train, models["tied"], 1, batch, folder)[0]
    assert straight[-1]["loss"] < straight[0]["loss"]
    resumed, (_, again) = on_ranks(train, models["tied"], 1, batch, folder, True)[0]
    assert resumed == straight and np.array_equal(values, again)
    for load in (False, True):
        for metrics, _ in on_ranks(train, models["tied"], 2, batch, folder if load else None, load):
            for one, other in zip(metrics, straight, strict=True):
                assert one["loss"] == pytest.approx(other["loss"], abs=2e-5)
                assert one["lr"] == other["lr"]
    assert rows == list(range(len(batch)))
