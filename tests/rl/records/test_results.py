"""Intervals of accuracies."""

import pytest

from rl.records.results import wilson


def test_wilson_interval_by_hand():
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
