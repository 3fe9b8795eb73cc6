"""Batches from groups: which tokens are targets, and what the batch says of the others."""

from dataclasses import fields, replace

import numpy as np
import pytest

from curricula.prompts import ask
from rl.samples import Completion, Group, packed_batch, policy_batch


def group(*trained):
    """A group with a prompt of two tokens and a completion of four for each of the given masks."""
    completions = [
        Completion(np.array([5, 6, 7, 8]), np.array([-1, -2, -3, -4], np.float32), "", "stop", 1, mask)
        for mask in trained
    ]
    return Group("u", ask("t", "q", "a"), [3, 4], completions, rewards=[1.0] * len(completions))


def test_untrained_tokens_are_no_targets_and_have_no_log_prob():
    batch = policy_batch([group(np.array([True, False, False, True]), None, np.zeros(4, dtype=bool))], 0.5)
    assert batch.loss_mask.tolist() == [False] * 2 + [True, False, False, True] + [False] * 2 + [True] * 4 + [False] * 6
    sampled = batch.fields["rollout_log_probs"]
    assert sampled.tolist() == [0, 0, -1, 0, 0, -4, 0, 0, -1, -2, -3, -4] + [0] * 6 and sampled.dtype == np.float32
    assert (batch.num_targets, batch.num_trained_sequences, len(batch)) == (6, 2, 3)
    assert batch.input_ids.tolist() == [3, 4, 5, 6, 7, 8] * 3, "they stay in the row, where the others see them"


def test_all_tokens_trained_is_the_default():
    given, default = (policy_batch([group(mask, mask)], 1.0) for mask in (np.ones(4, dtype=bool), None))
    for one in fields(given):
        left, right = getattr(given, one.name), getattr(default, one.name)
        if one.name == "fields":
            left, right = left["rollout_log_probs"], right["rollout_log_probs"]
        assert np.array_equal(left, right) and np.asarray(left).dtype == np.asarray(right).dtype, one.name


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(ValueError, match="group u has 4 tokens, and says of 3"):
        policy_batch([group(np.ones(3, dtype=bool))], 1.0)


def test_sequences_with_a_target_are_counted():
    batch = packed_batch([[1, 2, 3], [4], [5, 6], [7, 8]], [[0, 0, 0], [0], [0, 1], [0, 0]])
    assert batch.num_trained_sequences == 2
    nothing = replace(batch, loss_mask=np.zeros(8, dtype=bool))
    assert nothing.num_trained_sequences == 0
    assert batch.select([3, 0]).num_trained_sequences == 2
