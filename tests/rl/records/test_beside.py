"""Work beside the run: one piece after the other, and what goes wrong is raised once."""

import threading

import pytest

from rl.records.beside import Beside


def test_one_piece_at_a_time_and_all_are_done():
    beside, free, done = Beside(), threading.Event(), []
    beside.wait()
    beside.start(lambda: done.append(free.wait(60)))
    assert done == [], "it is going on"
    free.set()
    for number in range(5):
        beside.start(lambda number=number: done.append(number))
    beside.wait()
    assert done == [True, 0, 1, 2, 3, 4]


def test_what_goes_wrong_is_raised_by_the_next_call_and_once():
    beside, done = Beside(), []

    def fails():
        raise OSError(28, "No space left on device")

    beside.start(fails)
    with pytest.raises(OSError, match="No space left"):
        beside.start(lambda: done.append(1))
    beside.start(lambda: done.append(2))
    beside.wait()
    assert done == [2]
