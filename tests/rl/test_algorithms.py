"""Advantages and losses by hand and by identity; verl's functions are what is called, so these check the wiring."""

import numpy as np
import pytest
import torch

from rl.algorithms.losses import Counts, next_token_loss, policy_loss
from rl.algorithms.schedules import lr_factor
from rl.algorithms.verl_bridge import known_names, outcome_advantages
from rl.config.stages import AlgorithmConfig, OptimConfig

MASK = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0]], dtype=torch.float32)
GROUPS = np.array([0, 0, 1, 1])


def test_names_are_verls():
    advantages, losses = known_names()
    assert {"grpo", "rloo", "reinforce_plus_plus", "opo", "gpg"} <= set(advantages)
    assert {"vanilla", "gspo", "cispo", "gpg", "sapo"} <= set(losses)


def test_grpo_advantages_by_hand():
    rewards = np.array([1.0, 0.0, 0.5, 0.5], dtype=np.float32)
    found = outcome_advantages(AlgorithmConfig(), rewards, MASK, GROUPS)
    std = np.std([1.0, 0.0], ddof=1)
    assert torch.allclose(found[0], MASK[0] * 0.5 / (std + 1e-6))
    assert torch.allclose(found[1], MASK[1] * -0.5 / (std + 1e-6))
    assert (found[2:] == 0).all(), "a group without variance has no gradient"
    plain = outcome_advantages(AlgorithmConfig(normalise_std=False), rewards, MASK, GROUPS)
    assert torch.allclose(plain[0], MASK[0] * 0.5) and torch.allclose(plain[1], MASK[1] * -0.5)


@pytest.mark.parametrize("name", ["grpo", "rloo", "reinforce_plus_plus_baseline", "opo"])
def test_estimators_take_our_arguments(name):
    rewards = np.array([1.0, 0.0, 0.25, 0.5], dtype=np.float32)
    found = outcome_advantages(AlgorithmConfig(advantage=name), rewards, MASK, GROUPS)
    assert found.shape == MASK.shape and torch.isfinite(found).all() and (found * (1 - MASK) == 0).all()
    assert found[0, 1] > 0 > found[1, 1]


def micro(seed=0):
    generator = torch.Generator().manual_seed(seed)
    old = torch.randn(4, 4, generator=generator) * MASK
    advantages = torch.randn(4, 1, generator=generator).expand(4, 4) * MASK
    return {"loss_mask": MASK, "old_log_probs": old, "advantages": advantages, "ref_log_probs": old - 0.2 * MASK}


def outputs(log_probs):
    return {"log_probs": log_probs, "entropy": torch.zeros_like(log_probs)}


COUNTS = Counts(tokens=float(MASK.sum()), sequences=4, world_size=1)


def test_at_ratio_one_the_gradient_is_reinforce_and_kl_is_as_set():
    batch = micro()
    new = batch["old_log_probs"].clone().requires_grad_()
    loss, sums = policy_loss(AlgorithmConfig())(outputs(new), batch, COUNTS)
    loss.backward()
    assert torch.allclose(new.grad, -batch["advantages"] * MASK / COUNTS.tokens)
    assert sums["ratio"] == pytest.approx(1.0) and sums["mismatch_kl"] == 0 and sums["max/log_prob_difference"] == 0


@pytest.mark.parametrize(("estimator", "value"), [("k1", 0.2), ("k2", 0.02), ("k3", np.exp(-0.2) - 1 + 0.2)])
def test_kl_estimators_by_hand(estimator, value):
    batch = micro()
    algorithm = AlgorithmConfig(kl_coef=1.0, kl_estimator=estimator)
    _, sums = policy_loss(algorithm)(outputs(batch["old_log_probs"]), batch, COUNTS)
    assert sums["kl"] == pytest.approx(value, rel=1e-5)


def test_clipping_is_ppos():
    algorithm = AlgorithmConfig(clip_low=0.2, clip_high=0.28, clip_dual=3.0)
    mask = torch.ones(1, 4)
    ratio = torch.tensor([[1.5, 0.5, 1.5, 5.0]])
    advantage = torch.tensor([[1.0, -1.0, -1.0, -1.0]])
    batch = {"loss_mask": mask, "old_log_probs": torch.zeros(1, 4), "advantages": advantage}
    loss, _ = policy_loss(algorithm)(outputs(ratio.log()), batch, Counts(4.0, 1, 1))
    assert loss.item() == pytest.approx((-1.28 + 0.8 + 1.5 + 3.0) / 4)


def test_finite_differences():
    algorithm = AlgorithmConfig(kl_coef=0.3, clip_low=5.0, clip_high=5.0)
    batch = {name: value.double() for name, value in micro(1).items()}
    point = (batch["old_log_probs"] + 0.05).requires_grad_()
    loss_of = lambda x: policy_loss(algorithm)(outputs(x), batch, COUNTS)[0]  # noqa: E731
    loss_of(point).backward()
    for row, column in ((0, 1), (1, 2), (3, 1)):
        step = torch.zeros_like(point).index_put((torch.tensor(row), torch.tensor(column)), torch.tensor(1e-6).double())
        numeric = (loss_of(point.detach() + step) - loss_of(point.detach() - step)) / 2e-6
        assert point.grad[row, column].item() == pytest.approx(numeric.item(), rel=1e-6)


def test_next_token_loss_is_the_mean_over_the_whole_batch():
    log_probs = -torch.arange(16.0).view(4, 4)
    loss, sums = next_token_loss(outputs(log_probs), {"loss_mask": MASK}, Counts(100.0, 9, 2))
    assert loss.item() == pytest.approx(-(log_probs * MASK).sum().item() / 100 * 2)
    assert sums["loss"].item() == pytest.approx(loss.item() / 2)


def test_schedules():
    cosine = OptimConfig(schedule="cosine", warmup_steps=4, min_lr_ratio=0.1)
    assert [lr_factor(u, 20, cosine) for u in (0, 3, 4)] == pytest.approx([0.2, 0.8, 1.0])
    assert lr_factor(12, 20, cosine) == pytest.approx(0.55) and lr_factor(20, 20, cosine) == pytest.approx(0.1)
    wsd = OptimConfig(schedule="wsd", warmup_steps=2, decay_fraction=0.5)
    assert [lr_factor(u, 20, wsd) for u in (2, 9, 15, 20)] == pytest.approx([1, 1, 0.5, 0])
    assert lr_factor(999, 20, OptimConfig()) == 1.0
