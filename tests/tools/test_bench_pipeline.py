"""When the stages of a pipeline work, from the times of their passes."""

import pytest

from tools.bench.pipeline import bubble, schedule


@pytest.mark.parametrize(("stages", "count"), [(2, 1), (2, 4), (4, 2), (4, 8)])
def test_equal_stages_wait_for_the_first_and_the_last_micro_batch(stages, count):
    forward, backward = ([[seconds] * count for _ in range(stages)] for seconds in (1.0, 2.0))
    assert schedule(forward, backward) == 3 * (count + stages - 1)
    assert bubble(forward, backward) == pytest.approx((stages - 1) / (count + stages - 1))


def test_a_slow_stage_makes_the_other_wait():
    forward, backward = [[1.0, 1.0], [3.0, 3.0]], [[1.0, 1.0], [1.0, 1.0]]
    # The last stage begins after one second and works for eight; then the first one has one backward pass left.
    assert schedule(forward, backward) == 1 + 8 + 1
    assert bubble(forward, backward) == pytest.approx(1 - 12 / 20)
