"""Micro-batches: each row in one, within the budget; whole groups in a share; targets follow the token before them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curricula.prompts import ask
from rl.engines import layout
from rl.samples import Completion, Group, policy_batch


def grouped(lengths, prompt, per_group):
    """A policy batch of random tokens: completions of the given lengths, ``per_group`` for each prompt."""
    rng = np.random.default_rng(0)
    groups = []
    for start in range(0, len(lengths), per_group):
        found = [
            Completion(rng.integers(10, 1400, n), -rng.random(n).astype(np.float32), "", "stop", 1)
            for n in lengths[start : start + per_group]
        ]
        ids = rng.integers(10, 1400, prompt).tolist()
        groups.append(Group(str(start), ask("t", "q", "a"), ids, found, rewards=rng.random(len(found)).tolist()))
    return policy_batch(groups, 1.0)


SHAPES = st.tuples(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 20), st.integers(1, 5))


@given(SHAPES, st.integers(60, 400))
def test_every_row_is_in_one_microbatch_within_the_budget(shape, budget):
    batch = grouped(*shape)
    plan = layout.plan(batch, budget)
    assert [row for rows in plan for row in rows] == list(range(len(batch)))
    for rows in plan:
        micro = layout.gather(batch, rows, torch.device("cpu"))
        assert micro.input_ids.numel() == sum(layout.tokens_of(batch, unit) for unit in layout.units(batch, rows))
        assert micro.input_ids.numel() <= budget


@given(SHAPES, st.integers(1, 5))
def test_shards_are_whole_groups_of_similar_size(shape, ranks):
    batch = grouped(*shape)
    shards = layout.shard(batch, ranks)
    assert sorted(row for rows in shards for row in rows) == list(range(len(batch)))
    assert all(len({rank for rank, rows in enumerate(shards) if unit[0] in rows}) == 1 for unit in layout.units(batch))
    units = layout.units(batch)
    assert all(set(unit) <= set(rows) or not set(unit) & set(rows) for unit in units for rows in shards)
    loads = [sum(layout.tokens_of(batch, unit) for unit in units if unit[0] in rows) for rows in shards]
    assert max(loads) - min(loads) <= max(layout.tokens_of(batch, unit) for unit in units)


@given(SHAPES, st.integers(60, 400), st.integers(2, 4))
def test_a_pipeline_has_every_row_once_and_is_done_no_later(shape, budget, stages):
    batch = grouped(*shape)
    plan = layout.plan(batch, budget, stages)
    assert [row for rows in plan for row in rows] == list(range(len(batch)))

    def tokens(plan):
        sizes = [sum(layout.tokens_of(batch, unit) for unit in layout.units(batch, rows)) for rows in plan]
        assert max(sizes) <= budget
        return layout.pipeline_tokens(sizes, stages)

    assert tokens(plan) <= tokens(layout.plan(batch, budget))


def test_a_pipeline_gets_several_micro_batches_of_similar_size():
    batch = grouped([180] * 64, 20, 1)  # 12,800 tokens, which one micro-batch could hold
    assert [len(rows) for rows in layout.plan(batch, 12800, 1)] == [64]
    assert [len(rows) for rows in layout.plan(batch, 12800, 4)] == [3] * 21 + [1]
    assert layout.pipeline_tokens([12800], 4) / layout.pipeline_tokens([600] * 21 + [200], 4) > 3


def test_a_row_over_the_budget_is_named():
    with pytest.raises(ValueError, match="60 tokens exceeds max_tokens_per_microbatch=50"):
        layout.plan(grouped([10, 40], 20, 1), 50)


@given(SHAPES, st.sampled_from([0.0, 0.4]))
def test_targets_follow_the_tokens_that_predict_them(shape, untrained):
    batch = grouped(*shape)
    keep = np.random.default_rng(1).random(len(batch.loss_mask)) >= untrained
    batch = replace(batch, loss_mask=batch.loss_mask & keep)
    micro = layout.gather(batch, range(len(batch)), torch.device("cpu"))
    assert (batch.input_ids[micro.places] == micro.targets.numpy()).all()
    before = batch.input_ids[micro.places - 1]
    sources = micro.sources[micro.source_of]
    assert (micro.input_ids[0, sources].numpy() == before).all(), "the token before a target predicts it"
    assert (micro.position_ids[0, sources].numpy() == batch.position_ids[micro.places - 1]).all()
    assert len(micro.sources.unique()) == len(micro.sources)
    fields = {name: values[batch.loss_mask] for name, values in batch.fields.items()}
    assert (micro.fields["rollout_log_probs"][micro.mask.bool()].numpy() == fields["rollout_log_probs"]).all()
    assert (micro.dense(micro.targets.float())[micro.mask.bool()] == micro.targets).all()
