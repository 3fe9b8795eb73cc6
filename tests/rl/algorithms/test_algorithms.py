"""Advantages, losses and corrections: against verl on random ragged batches, by hand, and by identities."""

import numpy as np
import pytest
import torch

from rl.algorithms.advantages import length_weighted, with_advantages
from rl.algorithms.losses import next_token_loss, policy_loss
from rl.algorithms.mismatch import correction
from rl.algorithms.schedules import lr_factor
from rl.config.algorithm import PRESETS, AlgorithmConfig, MismatchConfig
from rl.config.stages import OptimConfig
from rl.engines import layout
from tests.rl.ranks import policy_examples

MAX_COMPLETION_TOKENS = 48
"""The fixed divisor of seq-mean-token-sum-norm."""


def dense_batch(seed=0, algorithm=AlgorithmConfig(), untrained=False):  # noqa: B008
    """Mask and fields [N, L] of a ragged policy batch with advantages, and log-probs that differ from the sampler's."""
    batch = with_advantages(policy_examples(seed, untrained=untrained), algorithm)
    mask, fields = layout.dense(batch, range(len(batch)))
    generator = torch.Generator().manual_seed(seed)
    new = (fields["rollout_log_probs"] + 0.3 * torch.randn(mask.shape, generator=generator)) * mask
    return batch, mask, fields, new


def ours(algorithm, mask, fields, new, parts=1):
    """Loss over the whole batch, its gradient and its metrics, from ``parts`` micro-batches."""
    new = new.clone().requires_grad_()
    loss = policy_loss(algorithm, max_completion_tokens=MAX_COMPLETION_TOKENS)
    total, metrics = 0.0, {}
    for rows in torch.arange(len(mask)).chunk(parts):
        part = {name: values[rows] for name, values in fields.items()}
        sums = loss.function(new[rows], torch.zeros_like(mask[rows]), mask[rows], part)
        total = total + sums.total
        for name, value in (sums.terms | sums.per_token).items():
            metrics[name] = metrics.get(name, 0.0) + float(value)
    total = total / (mask.sum() if loss.per == "tokens" else mask.any(dim=1).sum())
    total.backward()
    return total.item(), new.grad, metrics


def verls(algorithm, mask, fields, new):
    """The same by verl's functions on the whole batch at once, with verl's own denominators."""
    from verl.trainer.ppo.core_algos import agg_loss, get_policy_loss_fn, kl_penalty
    from verl.workers.config import ActorConfig

    config = ActorConfig(
        strategy="fsdp2", rollout_n=1, use_dynamic_bsz=True, clip_ratio=algorithm.clip_low,
        clip_ratio_low=algorithm.clip_low, clip_ratio_high=algorithm.clip_high, clip_ratio_c=algorithm.clip_dual,
        tau_pos=algorithm.tau_positive, tau_neg=algorithm.tau_negative,
    )  # fmt: skip
    config.global_batch_info.update(loss_scale_factor=MAX_COMPLETION_TOKENS)
    new = new.clone().requires_grad_()
    total, _ = get_policy_loss_fn(algorithm.loss)(
        old_log_prob=fields["rollout_log_probs"], log_prob=new, advantages=fields["advantages"], response_mask=mask,
        loss_agg_mode=algorithm.aggregation, config=config,
    )  # fmt: skip
    if algorithm.kl_coef > 0 and algorithm.kl_in == "loss":
        kl = kl_penalty(new, fields["ref_log_probs"], algorithm.kl_estimator)
        total = total + algorithm.kl_coef * agg_loss(
            kl, mask, algorithm.aggregation, loss_scale_factor=MAX_COMPLETION_TOKENS
        )
    total.backward()
    return total.item(), new.grad


LOSSES = [
    AlgorithmConfig(loss=loss, aggregation=aggregation, kl_coef=0.1, kl_estimator=kl)
    for loss in ("vanilla", "gspo", "cispo", "gpg", "sapo")
    for aggregation, kl in (
        ("token-mean", "k1"),
        ("seq-mean-token-mean", "k3"),
        ("seq-mean-token-sum", "k2"),
        ("seq-mean-token-sum-norm", "k3"),
    )
    if loss != "sapo" or aggregation == "seq-mean-token-mean"
]


@pytest.mark.parametrize("algorithm", LOSSES, ids=lambda a: f"{a.loss}-{a.aggregation}")
@pytest.mark.parametrize(("seed", "untrained"), [(0, False), (1, False), (2, False), (0, True)])
def test_losses_and_gradients_equal_verls(algorithm, seed, untrained):
    _, mask, fields, new = dense_batch(seed, untrained=untrained)
    expected, expected_gradient = verls(algorithm, mask, fields, new)
    for parts in (1, 3):
        total, gradient, _ = ours(algorithm, mask, fields, new, parts)
        assert total == pytest.approx(expected, rel=1e-6, abs=1e-7)
        assert (gradient - expected_gradient).abs().max() < 1e-7
        assert (gradient[mask == 0] == 0).all() and (gradient[mask == 1] != 0).any()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_possible_and_equals_verl(preset):
    algorithm = AlgorithmConfig(preset=preset)
    _, mask, fields, new = dense_batch(3, algorithm)
    expected, expected_gradient = verls(algorithm, mask, fields, new)
    total, gradient, _ = ours(algorithm, mask, fields, new, 2)
    assert total == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert (gradient - expected_gradient).abs().max() < 1e-7
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", ["grpo", "rloo", "opo", "gpg", "reinforce_plus_plus", "reinforce_plus_plus_baseline"])
@pytest.mark.parametrize(("seed", "untrained"), [(0, False), (1, False), (0, True), (1, True)])
def test_advantages_equal_verls(name, seed, untrained):
    from verl.trainer.config import AlgoConfig
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    batch, mask, fields, _ = dense_batch(seed, AlgorithmConfig(advantage=name), untrained)
    rewards = torch.zeros_like(mask)
    for row, targets in enumerate(mask):
        last = int(targets.nonzero().max()) if targets.any() else 0
        rewards[row, last] = float(batch.rewards[row])
    expected, _ = get_adv_estimator_fn(name)(
        token_level_rewards=rewards.clone(), response_mask=mask, index=batch.groups, config=AlgoConfig()
    )
    assert (fields["advantages"] - expected * mask).abs().max() < 2e-7
    assert (fields["advantages"][mask == 1] != 0).any() and (mask.sum(dim=1) == 0).any() == untrained


def test_untrained_tokens_have_no_length_and_no_kl():
    """LegalOne's baseline weighs by trained tokens, and a KL term in the reward is summed over them."""
    batch = policy_examples(3, untrained=True)
    trained = np.add.reduceat(batch.loss_mask, batch.offsets[:-1])
    assert (trained < batch.lengths - batch.prompt_lengths).all() and trained.any() and not trained.all()
    kl = {"kl_coef": 0.1, "kl_in": "reward", "kl_estimator": "k1"}
    for algorithm in (AlgorithmConfig(advantage="length_weighted"), AlgorithmConfig(advantage="length_weighted", **kl)):
        returns = batch.rewards - np.where(algorithm.kl_coef, 0.1 * -0.1 * trained, 0.0)  # log-probs differ by 0.1
        found = with_advantages(batch, algorithm).fields["advantages"]
        assert (found[~batch.loss_mask] == 0).all()
        for row in np.flatnonzero(trained):
            mine = batch.groups == batch.groups[row]
            baseline = (trained * returns)[mine].sum() / trained[mine].sum()
            own = found[batch.offsets[row] : batch.offsets[row + 1]][
                batch.loss_mask[batch.offsets[row] : batch.offsets[row + 1]]
            ]
            assert own == pytest.approx(np.full(len(own), returns[row] - baseline), abs=1e-6)


def test_length_weighted_baseline_by_hand_and_against_opo():
    """LegalOne: R = (1, 0) with lengths 100 and 300 has the baseline 0.25, and all advantages add up to 0."""
    mask = (torch.arange(300)[None, :] < torch.tensor([[100], [300]])).float()
    rewards = torch.zeros_like(mask)
    rewards[0, 99] = 1.0
    found = length_weighted(rewards, mask, np.array([7, 7]))
    assert found[0, 0] == 0.75 and found[1, 0] == -0.25 and found.sum().abs() < 1e-4
    batch, _, fields, _ = dense_batch(4, AlgorithmConfig(advantage="length_weighted"))
    _, _, opo, _ = dense_batch(4, AlgorithmConfig(advantage="opo"))
    assert (fields["advantages"] - opo["advantages"]).abs().max() < 1e-7
    assert all(fields["advantages"][batch.groups == group].sum().abs() < 1e-4 for group in set(batch.groups))


def test_group_advantages_add_up_to_zero_and_vanish_without_variance():
    batch = policy_examples()
    batch.rewards[batch.groups == 1] = 0.5
    mask, fields = layout.dense(with_advantages(batch, AlgorithmConfig()), range(len(batch)))
    by_row = fields["advantages"][:, 0]
    assert (fields["advantages"] == by_row[:, None] * mask).all()
    assert all(by_row[batch.groups == group].sum().abs() < 1e-5 for group in set(batch.groups))
    assert (by_row[batch.groups == 1] == 0).all() and by_row.abs().max() > 0.5
    _, gradient, _ = ours(AlgorithmConfig(), mask, fields, fields["rollout_log_probs"])
    assert (gradient[batch.groups == 1] == 0).all()


def test_kl_in_the_reward_is_taken_off_token_by_token():
    batch = policy_examples()
    algorithm = AlgorithmConfig(advantage="rloo", kl_coef=0.1, kl_in="reward", kl_estimator="k1")
    _, fields = layout.dense(with_advantages(batch, algorithm), range(len(batch)))
    kl = (batch.fields["rollout_log_probs"] - batch.fields["ref_log_probs"]) * batch.loss_mask
    spans = [slice(batch.offsets[row], batch.offsets[row + 1]) for row in range(len(batch))]
    returns = batch.rewards - 0.1 * np.array([kl[span].sum() for span in spans])
    for row in range(len(batch)):
        others = returns[(batch.groups == batch.groups[row]) & (np.arange(len(batch)) != row)]
        assert fields["advantages"][row, 0].item() == pytest.approx(returns[row] - others.mean(), abs=1e-5)


def test_at_ratio_one_the_gradient_is_reinforce():
    _, mask, fields, _ = dense_batch()
    for algorithm in (AlgorithmConfig(), AlgorithmConfig(old_log_probs="recompute")):
        _, gradient, metrics = ours(algorithm, mask, fields, fields["rollout_log_probs"])
        assert torch.allclose(gradient, -fields["advantages"] * mask / mask.sum(), atol=1e-9)
        assert metrics["ratio"] == pytest.approx(float(mask.sum())) and metrics["mismatch_kl"] == 0
    assert ours(AlgorithmConfig(kl_coef=1.0), mask, {**fields, "ref_log_probs": fields["rollout_log_probs"]},
                fields["rollout_log_probs"])[2]["kl"] == 0  # fmt: skip


@pytest.mark.parametrize(("estimator", "value"), [("k1", 0.2), ("k2", 0.02), ("k3", np.exp(-0.2) - 1 + 0.2)])
def test_kl_estimators_by_hand(estimator, value):
    _, mask, fields, _ = dense_batch()
    fields = {**fields, "ref_log_probs": fields["rollout_log_probs"] - 0.2 * mask}
    algorithm = AlgorithmConfig(kl_coef=1.0, kl_estimator=estimator)
    found = ours(algorithm, mask, fields, fields["rollout_log_probs"])[2]["kl"] / float(mask.sum())
    assert found == pytest.approx(value, rel=1e-5)


def test_clipping_is_ppos():
    """Ratios above 1.28 and below 0.8 are clipped on the side that would gain; at -1 the dual clip bounds them by 3."""
    ratio = torch.tensor([[1.5, 0.5, 1.5, 5.0]])
    fields = {"rollout_log_probs": torch.zeros(1, 4), "advantages": torch.tensor([[1.0, -1.0, -1.0, -1.0]])}
    loss, gradient, _ = ours(AlgorithmConfig(), torch.ones(1, 4), fields, ratio.log())
    assert loss == pytest.approx((-1.28 + 0.8 + 1.5 + 3.0) / 4)
    assert (gradient[0, [0, 1, 3]] == 0).all() and gradient[0, 2] != 0


@pytest.mark.parametrize("algorithm", [AlgorithmConfig(kl_coef=0.3, clip_low=0.9, clip_high=9.0, aggregation=a)
                                       for a in ("token-mean", "seq-mean-token-mean")])  # fmt: skip
def test_finite_differences(algorithm):
    _, mask, fields, new = dense_batch(1)
    mask, new = mask.double(), new.double()
    fields = {name: values.double() for name, values in fields.items()}
    _, gradient, _ = ours(algorithm, mask, fields, new)
    for row, column in ((0, 0), (3, 1), (11, 2)):
        step = torch.zeros_like(new)
        step[row, column] = 1e-6
        above, below = (ours(algorithm, mask, fields, new + sign * step)[0] for sign in (1, -1))
        assert gradient[row, column].item() == pytest.approx((above - below) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("mode", ["truncate", "mask"])
def test_mismatch_correction_equals_verls(level, mode):
    from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_weights

    _, mask, fields, new = dense_batch(5)
    log_ratio = (new - fields["rollout_log_probs"]) * mask
    threshold = 1.2
    expected, _ = compute_rollout_correction_weights(
        log_ratio, mask, level, threshold if mode == "truncate" else f"{1 / threshold}_{threshold}"
    )
    found = correction(MismatchConfig(level=level, mode=mode, threshold=threshold), log_ratio, mask)
    assert (found * mask - expected * mask).abs().max() < 1e-6
    assert (found * mask != log_ratio.exp() * mask).sum() > 0


def test_geometric_mismatch_keeps_the_sequences_that_verl_keeps():
    from verl.trainer.ppo.rollout_corr_helper import compute_rollout_rejection_mask

    _, mask, fields, new = dense_batch(5)
    log_ratio = (new - fields["rollout_log_probs"]) * mask
    kept, _ = compute_rollout_rejection_mask(log_ratio, mask, "seq_mean_k1", f"{1 / 1.05}_1.05")
    found = correction(MismatchConfig(level="geometric", mode="mask", threshold=1.05), log_ratio, mask)
    assert ((found * mask > 0) == kept.bool()).all() and 0 < kept.sum() < mask.sum()
    mean = (log_ratio.sum(1) / mask.sum(1)).exp()
    truncated = correction(MismatchConfig(level="geometric", threshold=1.05), log_ratio, mask)
    assert torch.allclose(truncated[:, 0], mean.clamp(max=1.05))


def test_correction_multiplies_the_gradient():
    _, mask, fields, new = dense_batch(6)
    config = MismatchConfig(threshold=1.1)
    plain = ours(AlgorithmConfig(old_log_probs="recompute"), mask, fields, new)
    corrected = ours(AlgorithmConfig(old_log_probs="recompute", mismatch=config), mask, fields, new)
    weights = correction(config, (new - fields["rollout_log_probs"]) * mask, mask)
    assert torch.allclose(corrected[1], plain[1] * weights, atol=1e-9)
    assert corrected[2]["correction"] == pytest.approx(float((weights * mask).sum()), rel=1e-6)


def test_next_token_loss_is_a_sum_over_targets():
    mask = torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0]], dtype=torch.float32)
    log_probs = -torch.arange(8.0).view(2, 4)
    sums = next_token_loss.function(log_probs, mask, mask, {})
    assert sums.total.item() == 1 + 2 + 3 + 5 == sums.terms["loss"].item() and next_token_loss.per == "tokens"


def test_impossible_algorithms_are_refused():
    with pytest.raises(ValueError, match="mismatch needs old_log_probs=recompute"):
        AlgorithmConfig(mismatch=MismatchConfig())
    with pytest.raises(ValueError, match="only defined with aggregation=seq-mean-token-mean"):
        AlgorithmConfig(loss="sapo")
    assert AlgorithmConfig(preset="sapo", tau_negative=2.0).aggregation == "seq-mean-token-mean"
    assert AlgorithmConfig(preset="gspo", clip_high=0.1).clip_high == 0.1, "a key beside the preset wins"


def test_schedules():
    cosine = OptimConfig(schedule="cosine", warmup_steps=4, min_lr_ratio=0.1)
    assert [lr_factor(u, 20, cosine) for u in (0, 3, 4)] == pytest.approx([0.2, 0.8, 1.0])
    assert lr_factor(12, 20, cosine) == pytest.approx(0.55) and lr_factor(20, 20, cosine) == pytest.approx(0.1)
    wsd = OptimConfig(schedule="wsd", warmup_steps=2, decay_fraction=0.5)
    assert [lr_factor(u, 20, wsd) for u in (2, 9, 15, 20)] == pytest.approx([1, 1, 0.5, 0])
    assert lr_factor(999, 20, OptimConfig()) == 1.0
