"""Intervals and paired tests against closed forms."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from rl.evaluation.statistics import compare, interval, mcnemar, permutation


def test_a_share_has_wilsons_interval():
    """As statsmodels' proportion_confint(method="wilson") has them."""
    assert interval([1.0] * 60 + [0.0] * 40) == pytest.approx((0.5020026, 0.6905987), abs=1e-6)
    assert interval([1.0] * 20) == pytest.approx((0.8388749, 1.0), abs=1e-6), "twenty of twenty are not all there is"
    assert interval([0.0] * 20) == pytest.approx((0.0, 0.1611251), abs=1e-6)


def test_the_bootstrap_of_two_values_matches_the_binomials():
    scores = [0.5] * 60 + [0.0] * 40
    low, high = interval(scores)
    assert (low, high) == pytest.approx([binom.ppf(q, 100, 0.6) / 200 for q in (0.025, 0.975)], abs=0.006)
    assert interval(scores) == (low, high) != interval(scores, seed=1, draws=100)
    assert interval([0.25] * 7) == (0.25, 0.25)


def test_the_interval_of_many_different_scores_matches_the_normal_one():
    scores = np.random.default_rng(0).random(500)
    error = 1.96 * scores.std() / math.sqrt(500)
    assert interval(list(scores)) == pytest.approx((scores.mean() - error, scores.mean() + error), abs=0.003)
    with pytest.raises(ValueError, match="at least one score"):
        interval([])


def test_mcnemar_is_the_binomial_of_the_questions_that_differ():
    a = [1.0] * 9 + [0.0] * 1 + [1.0] * 50
    b = [0.0] * 9 + [1.0] * 1 + [1.0] * 50
    assert mcnemar(a, b) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(a, a) == 1.0
    with pytest.raises(ValueError, match="0 and 1"):
        mcnemar([0.5], [1.0])


def test_permutation_matches_the_exact_test():
    a, b = [0.9, 0.8, 0.7, 0.6, 0.5, 0.9], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert permutation(a, b, draws=20_000) == pytest.approx(2 / 2**6, abs=0.005)  # all six signs alike
    assert permutation(a, a) == 1.0
    with pytest.raises(ValueError, match="same questions"):
        permutation(a, b[:3])


def test_models_are_compared_on_the_questions_they_share():
    a = {str(n): 1.0 for n in range(20)} | {"only a": 0.0}
    b = {str(n): float(n % 2) for n in range(20)} | {"only b": 0.0}
    found = compare(a, b)
    assert (found.difference, found.test, found.questions) == (0.5, "mcnemar", 20)
    assert found.p == pytest.approx(2 / 2**10) and found.interval[0] < 0.5 < found.interval[1]
    graded = compare({"x": 0.5, "y": 0.25}, {"x": 0.5, "y": 0.0})
    assert graded.test == "permutation" and graded.difference == pytest.approx(0.125)
    with pytest.raises(ValueError, match="same questions"):
        compare({"x": 1.0}, {"y": 1.0})
