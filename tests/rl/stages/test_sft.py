"""The order of demonstrations, and the lowest loss so far."""

from rl.stages.sft import Best, rows_at


def test_demonstrations_are_gone_through_once_an_epoch():
    assert sorted(rows_at(0, 10, 10, 0)) == sorted(rows_at(10, 10, 10, 0)) == list(range(10))
    assert rows_at(3, 4, 10, 0) == rows_at(0, 10, 10, 0)[3:7]


def test_the_best_loss_is_a_number_and_survives_a_resume():
    best = Best()
    assert not best.offer(float("nan"), 5) and best.state_dict() == {"loss": None, "step": 0}
    assert best.offer(0.5, 10) and not best.offer(0.5, 20) and not best.offer(float("nan"), 25)
    again = Best()
    again.load_state_dict(best.state_dict())
    assert (again.loss, again.step) == (0.5, 10) and again.offer(0.4, 30)
