"""Which groups take part in the update, and with which weight: by hand, and by the gradient itself."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from curricula.prompts import ask
from rl.algorithms.advantages import with_advantages
from rl.algorithms.losses import policy_loss
from rl.config.algorithm import PRESETS, AlgorithmConfig
from rl.config.compose import load
from rl.config.derive import BatchNumbers, check
from rl.config.stages import GRPOStage
from rl.driver.scoring import refuse_unscored
from rl.driver.steps import rows
from rl.driver.updates import StepUpdate, shaped
from rl.engines import layout
from rl.errors import UserError
from rl.samples import Completion, Group, policy_batch
from rl.stages.grpo import group_metrics
from tests.rl.ranks import on_ranks

RIGHT, WRONG, ONE_RIGHT, ONE_WRONG = [1.0] * 4, [0.0] * 4, [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]


def group(number, rewards, tokens=5, error=None):
    """A group whose completions have ``tokens`` tokens each, or as many as stand in a list, rewarded for accuracy."""
    lengths = [tokens] * len(rewards) if isinstance(tokens, int) else tokens
    rng = np.random.default_rng(number)
    completions = [
        Completion(rng.integers(10, 1400, n), rng.normal(-7, 0.3, n).astype(np.float32), "", "stop", 0) for n in lengths
    ]
    parts = [{"accuracy": reward} for reward in rewards]
    return Group(str(number), ask("t", "q", "a"), [11, 12, 13], completions, rewards, parts, error=error, index=number)


def batch_of(groups):
    batch = policy_batch(groups, 1.0)
    return batch.with_field("ref_log_probs", batch.fields["rollout_log_probs"] - 0.25 * batch.loss_mask)


def first_advantages(groups, algorithm):
    """Advantage of the first token of each completion."""
    batch = with_advantages(batch_of(groups), algorithm)
    return [float(batch.fields["advantages"][start + 3]) for start in batch.offsets[:-1]]


MIXED = [group(i, rewards) for i, rewards in enumerate((RIGHT, WRONG, ONE_RIGHT, ONE_WRONG))]


def test_reinforce_pp_whitens_over_groups_of_equal_reward_too():
    """8 of 16 completions of 5 tokens are right: mean 0.5, unbiased variance 0.25 * 80 / 79."""
    value = 0.5 / np.sqrt(0.25 * 80 / 79)
    signs = [1, 1, 1, 1, -1, -1, -1, -1, 1, -1, -1, -1, 1, 1, 1, -1]
    algorithm = AlgorithmConfig(preset="reinforce_pp", kl_coef=0.0)
    admitted = [one for one in MIXED if algorithm.admits(one)]
    assert len(admitted) == 4
    assert first_advantages(admitted, algorithm) == pytest.approx([value * sign for sign in signs], rel=1e-5)


def test_its_baseline_variant_counts_their_zeros_in_the_deviation():
    """Minus their group's mean, rewards are ±0.75 twice, ±0.25 six times and 0 eight times: variance 1.5 * 5 / 79."""
    deviation = np.sqrt(1.5 * 5 / 79)
    centred = [0.0] * 8 + [0.75, -0.25, -0.25, -0.25, 0.25, 0.25, 0.25, -0.75]
    algorithm = AlgorithmConfig(preset="reinforce_pp_baseline")
    admitted = [one for one in MIXED if algorithm.admits(one)]
    assert first_advantages(admitted, algorithm) == pytest.approx([c / deviation for c in centred], rel=1e-5, abs=1e-9)


def test_gpg_counts_them_in_its_scale():
    """10 of 20 completions have a reward, so advantages double; without the group of wrong ones they would not."""
    groups = [group(0, WRONG), group(1, ONE_RIGHT), group(2, ONE_RIGHT), group(3, RIGHT), group(4, RIGHT)]
    algorithm = AlgorithmConfig(preset="gpg")
    admitted = [one for one in groups if algorithm.admits(one)]
    varied = [1.5, -0.5, -0.5, -0.5]
    assert first_advantages(admitted, algorithm) == pytest.approx([0] * 4 + varied * 2 + [0] * 8)


ADMITTED = {"grpo", "reinforce_pp", "reinforce_pp_baseline", "gpg"}
"""Presets that train on a group of equal reward: for the KL term, or for the batch that advantages are made over."""


@pytest.mark.parametrize("preset", PRESETS)
def test_what_each_preset_trains_on(preset):
    algorithm, equal, varied = AlgorithmConfig(preset=preset), group(0, RIGHT), group(1, ONE_RIGHT)
    assert algorithm.carries_gradient(equal) == algorithm.admits(equal) == (preset in ADMITTED)
    assert algorithm.carries_gradient(varied) and algorithm.admits(varied)
    broken = group(2, [], tokens=[5] * 4, error="the judge is gone")
    assert not broken.admissible and not algorithm.carries_gradient(broken) and not algorithm.admits(broken)
    for more in ({"kl_coef": 0.1}, {"entropy_coef": 0.01}, {"kl_coef": 0.1, "kl_in": "reward", "kl_estimator": "k1"}):
        other = AlgorithmConfig(preset=preset, **more)
        assert other.carries_gradient(equal) and not other.carries_gradient(broken)
        assert other.admits(equal) == (not other.refills), "dynamic sampling takes no group of equal reward"


@pytest.mark.parametrize("advantage", ["grpo", "rloo", "opo", "length_weighted", "gpg"])
@pytest.mark.parametrize("reward", [1.0, 0.1, 1.1, -0.3, 7.7])
def test_equal_rewards_have_no_advantage_at_all(advantage, reward):
    """Not even by rounding: the mean of six times 1.1 is not 1.1."""
    groups = [group(0, [reward] * 6, tokens=[3, 9, 4, 4, 8, 1]), group(1, ONE_RIGHT)]
    found = first_advantages(groups, AlgorithmConfig(advantage=advantage))
    assert found[:6] == [0.0] * 6 and max(found[6:]) > 0.5
    assert first_advantages(groups[:1], AlgorithmConfig(advantage="reinforce_plus_plus_baseline")) == [0.0] * 6


def gradient_of(one, algorithm):
    """Largest gradient of the policy loss with respect to the logits of a group, at ratio 1 so that nothing clips."""
    algorithm = algorithm.model_copy(update={"old_log_probs": "recompute"})
    batch = with_advantages(batch_of([one]), algorithm)
    mask, fields = layout.dense(batch, range(len(batch)))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((*mask.shape, 7), generator=generator, requires_grad=True)
    log_probs = logits.log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    loss = policy_loss(algorithm, max_completion_tokens=32)
    loss.function(log_probs[..., 0], entropy, mask, fields).total.backward()
    return logits.grad.abs().max().item()


@pytest.mark.parametrize("advantage", ["grpo", "rloo", "opo", "length_weighted"])
def test_the_gradient_is_what_carries_gradient_says(advantage):
    equal = group(0, [1.1] * 6, tokens=[3, 9, 4, 4, 8, 1])
    plain = AlgorithmConfig(advantage=advantage)
    assert gradient_of(equal, plain) == 0 and not plain.carries_gradient(equal)
    for more in ({"kl_coef": 0.04}, {"entropy_coef": 0.01}, {"kl_coef": 0.04, "kl_in": "reward", "kl_estimator": "k1"}):
        algorithm = AlgorithmConfig(advantage=advantage, **more)
        assert gradient_of(equal, algorithm) > 1e-4 and algorithm.carries_gradient(equal)


def test_overlong_shaping_gives_a_group_of_equal_reward_a_gradient():
    equal = group(0, RIGHT, tokens=[5, 5, 10, 5])
    (made,) = shaped([equal], longest=10, buffer=5)
    plain = AlgorithmConfig()
    assert not plain.admits(equal) and plain.admits(made) and made.rewards == [1.0, 1.0, 0.0, 1.0]


def test_overlong_shaping_is_a_part_of_the_reward():
    """accuracy + 0.5 form + overlong is the reward, of each completion and in the mean that a step logs."""
    weights = {"accuracy": 1.0, "form": 0.5, "overlong": 1.0}
    parts = [{"accuracy": a, "form": f} for a, f in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.5))]
    rewards = [part["accuracy"] + 0.5 * part["form"] for part in parts]
    plain = replace(group(0, rewards, tokens=[4, 6, 9, 10]), parts=parts)
    failed = group(1, [], tokens=[10] * 4, error="no")
    made, untouched = shaped([plain, failed], longest=10, buffer=4)
    assert [part["overlong"] for part in made.parts] == [0.0, 0.0, -0.75, -1.0] and untouched is failed
    assert made.rewards == [sum(weights[name] * score for name, score in part.items()) for part in made.parts]
    update = step_update(AlgorithmConfig(overlong_buffer=4))
    update.add([made])
    found = group_metrics(update, version=0)
    assert found["reward/overlong"] == -1.75 / 4
    assert found["reward"] == sum(weight * found[f"reward/{name}"] for name, weight in weights.items())
    assert shaped([plain], longest=10, buffer=0) == [plain], "without a buffer there is no such part"
    assert [json.loads(json.dumps(row["parts"])) for row in rows(made, 0)] == made.parts


@pytest.mark.parametrize("advantage", ["reinforce_plus_plus", "reinforce_plus_plus_baseline"])
def test_a_single_token_has_nothing_to_be_whitened_against(advantage):
    assert first_advantages([group(0, [1.0], tokens=1)], AlgorithmConfig(advantage=advantage)) == [0.0]


def step_update(algorithm, updates=1, trainer=None):
    stage = GRPOStage(name="s", kind="grpo", steps=1, tasks={"age": 1}, algorithm=algorithm)
    return StepUpdate(
        stage, BatchNumbers(4, 4, updates, 4096), trainer, lambda batch: batch.fields["rollout_log_probs"],
        lambda name: nullcontext(), eager=False,
    )  # fmt: skip


def test_metrics_and_refills_ask_the_algorithm():
    for algorithm, trained in (({"preset": "reinforce_pp"}, 4), ({}, 2), ({"kl_coef": 0.1, "refills": 1}, 2)):
        update = step_update(algorithm)
        update.add([*MIXED, group(9, [], tokens=[5] * 4, error="no")])
        found = group_metrics(update, version=0)
        assert (found["groups/zero_variance"], found["groups/trained"]) == (0.5, trained)
        assert (found["groups/sampled"], found["groups/errored"]) == (5, 1)


def test_a_step_without_one_scored_group_ends_the_run():
    failed = [group(n, [], tokens=[5] * 4, error=error) for n, error in enumerate(["a", "no key", "no key"])]
    refuse_unscored([], "stage s: step 3")
    refuse_unscored([*failed, *MIXED], "stage s: step 3")
    with pytest.raises(UserError, match=r"stage s: step 3: none of its 3 groups .* 2 of them failed with: no key"):
        refuse_unscored(failed, "stage s: step 3")


def _updates(actor, algorithm, batch, shares):
    """The policy losses of a step's updates, at a learning rate that moves nothing."""
    from rl.config.stages import OptimConfig

    actor.begin_stage(OptimConfig(lr=1e-30), 10)
    limits = {"max_tokens_per_microbatch": 512, "max_completion_tokens": 16}
    return [actor.update(batch, algorithm, **limits, rows=rows)["policy_loss"] for rows in shares]


@pytest.mark.parametrize("preset", ["reinforce_pp", "grpo"])
def test_several_updates_share_the_advantages_of_the_whole_step(models, preset):
    """The whole step is whitened at once, before it is split: the losses of the parts add up to that of the whole."""
    algorithm = AlgorithmConfig(preset=preset, aggregation="token-mean", kl_coef=0.0, old_log_probs="recompute")
    batch = batch_of(MIXED)
    halves = [np.flatnonzero(batch.groups % 2 == half).tolist() for half in (0, 1)]
    (whole,), (first, second) = (
        on_ranks(_updates, models["tied"], 1, algorithm, batch, shares)[0] for shares in ([None], halves)
    )
    assert abs(first) > 0.1 or preset == "grpo"
    assert (first + second) / 2 == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("advantage", [None, "rloo", "grpo"])
def test_one_sample_a_prompt_where_the_batch_is_the_baseline(advantage):
    algorithm = {"preset": "reinforce_pp"} | ({"advantage": advantage} if advantage else {})
    stage = {"name": "g", "kind": "grpo", "steps": 2, "prompts_per_step": 4, "samples_per_prompt": 1,
             "tasks": {"age": 1}, "algorithm": algorithm}  # fmt: skip
    config = load({"run_dir": "r", "curriculum": {"name": "x", "stages": [stage]}})
    if advantage is None:
        check(config)
    else:
        with pytest.raises(Exception, match=f"which algorithm.advantage={advantage} takes from it"):
            check(config)
    groups = [group(i, [reward]) for i, reward in enumerate((1.0, 0.0, 1.0, 0.0))]
    value = 0.5 / np.sqrt(0.25 * 20 / 19)
    plain = AlgorithmConfig(preset="reinforce_pp", kl_coef=0.0)
    assert first_advantages(groups, plain) == pytest.approx([value, -value, value, -value], rel=1e-5)
    assert all(plain.admits(one) for one in groups)
