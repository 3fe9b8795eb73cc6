import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.errors import DataError
from curricula.pas import (
    BUCKETS,
    PHASES,
    bucket_counts,
    bucket_of,
    phase_of,
    phase_shares,
    quantile_borders,
    shares,
)
from rl.algorithms.schedules import lr_factor
from rl.config.stages import OptimConfig

WEIGHTS = (0.2, 0.5, 0.3)
positive = st.floats(0.01, 10)


@pytest.mark.parametrize(("alpha", "low"), [(0.0, 0.974), (0.5, 0.753), (1.0, 0.200)])
def test_the_share_of_easy_documents(alpha, low):
    assert round(shares(WEIGHTS, 5.0, alpha)[0], 3) == low
    boost = 0.2 * math.exp(5.0 * (1 - alpha))
    assert shares(WEIGHTS, 5.0, alpha) == pytest.approx(
        (boost / (boost + 0.8), 0.5 / (boost + 0.8), 0.3 / (boost + 0.8))
    )


@settings(deadline=None)
@given(st.tuples(positive, positive, positive), st.floats(0.01, 1000), st.floats(0, 1), st.floats(0, 1))
def test_shares_sum_to_one_and_fall_with_plasticity(weights, strength, one, other):
    less, more = sorted((one, other))
    early, late = shares(weights, strength, less), shares(weights, strength, more)
    assert sum(early) == pytest.approx(1) and sum(late) == pytest.approx(1)
    assert early[0] >= late[0] - 1e-12
    assert late[1] * weights[2] == pytest.approx(late[2] * weights[1])


def test_without_easy_documents_the_others_share():
    assert shares((0, 1, 3), 5000.0, 0.0) == (0, 0.25, 0.75)


@pytest.mark.parametrize("weights", [(1, 2), (0, 0, 0), (1, -1, 1)])
def test_impossible_weights(weights):
    with pytest.raises(DataError, match="three numbers"):
        shares(weights, 5, 0)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(0, 320), st.floats(0.01, 1))
def test_phases_partition_the_steps_as_the_schedule_does(total, warmup, fraction):
    optim = OptimConfig(schedule="wsd", warmup_steps=warmup, decay_fraction=fraction)
    phases = [phase_of(step, total, warmup, fraction) for step in range(total)]
    assert [PHASES.index(phase) for phase in phases] == sorted(PHASES.index(phase) for phase in phases)
    assert Counter(phases)["re-warm-up"] == min(total, warmup)
    decaying = min(round(total * fraction), max(0, total - warmup))
    assert Counter(phases)["decay"] == decaying
    for step, phase in enumerate(phases):
        factor = lr_factor(step, total, optim)
        assert (factor == 1) if phase == "stable" else (0 < factor <= 1)
        first = step == 0 or phases[step - 1] != phase
        assert phase != "decay" or first or factor < lr_factor(step - 1, total, optim)


def test_plasticity_moves_in_small_steps():
    optim = OptimConfig(schedule="wsd", lr=3e-4, warmup_steps=50, decay_fraction=0.3, min_lr_ratio=0.01)
    alphas = [lr_factor(step, 400, optim) for step in range(400)]
    assert max(abs(later - earlier) for earlier, later in pairwise(alphas)) < 0.02
    assert max(alphas) == 1 and min(alphas) > 0


def test_the_decay_has_its_own_shares():
    assert phase_shares("decay", 0.0, WEIGHTS, 5.0, (0, 1, 1)) == {"low": 0, "mid": 0.5, "high": 0.5}
    assert phase_shares("decay", 0.0, WEIGHTS, 5.0) == pytest.approx(dict(zip(BUCKETS, WEIGHTS, strict=True)))
    for phase in ("re-warm-up", "stable"):
        found = phase_shares(phase, 0.3, WEIGHTS, 5.0, (0, 1, 1))
        assert tuple(found.values()) == shares(WEIGHTS, 5.0, 0.3)


def test_buckets():
    found = [bucket_of(p, (5, 15, 30)) for p in (1, 5, 5.1, 15, 15.1, 29.9, 30, math.inf)]
    assert found == ["low", "low", "mid", "mid", "high", "high", None, None]
    assert bucket_counts(found) == {"low": 2, "mid": 2, "high": 2, "dropped": 2}
    with pytest.raises(DataError, match="not a number"):
        bucket_of(math.nan, (5, 15, 30))


@settings(deadline=None)
@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=200, unique=True))
def test_quantiles_cut_the_documents_in_their_order(perplexities):
    n = len(perplexities)
    borders = quantile_borders(perplexities, (0.3, 0.6, 0.9))
    counts = bucket_counts([bucket_of(p, borders) for p in perplexities])
    first, second, third = (math.ceil(round(q * n, 9)) for q in (0.3, 0.6, 0.9))
    assert counts == {"low": first, "mid": second - first, "high": third - second, "dropped": n - third}
    everything = quantile_borders(perplexities, (0.3, 0.6, 1.0))
    assert None not in [bucket_of(p, everything) for p in perplexities]


def test_equal_perplexities_are_kept_together():
    assert {bucket_of(p, quantile_borders([7.0] * 10, (0.2, 0.5, 0.8))) for p in [7.0] * 10} == {"low"}
    with pytest.raises(DataError, match="no document"):
        quantile_borders([], (0.2, 0.5, 0.8))
