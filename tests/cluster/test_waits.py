"""Waits are told after a minute, then less and less often; time is what is passed on, not what a clock says."""

from itertools import pairwise

from cluster.waits import FIRST_S, MOST_S, Waits


def told(waits, seconds, each=5.0):
    """(who, what, seconds) of the waits told while time passes."""
    found = []
    for _ in range(int(seconds / each)):
        found += [(wait.who, wait.what, wait.waited_s) for wait in waits.pass_time(each)]
    return found


def test_a_wait_is_told_at_growing_intervals():
    waits = Waits()
    with waits("rollout/1", "collect"):
        assert told(waits, 4 * FIRST_S) == [("rollout/1", "collect", FIRST_S * n) for n in (1, 2, 4)]
        last = told(waits, 6 * MOST_S)
        assert all(late - early <= MOST_S for (*_, early), (*_, late) in pairwise(last))
    assert told(waits, 2 * FIRST_S) == []


def test_short_waits_are_never_told():
    waits = Waits()
    for _ in range(100):
        with waits("rollout/1", "collect"):
            assert told(waits, FIRST_S - 5) == []


def test_equal_waits_are_told_once_and_different_ones_with_the_longest_first():
    waits = Waits()
    with waits("rollout/0", "collect"):
        waits.pass_time(5)
        with waits("rollout/0", "collect"), waits("reward/0", "score"):
            found = waits.pass_time(FIRST_S)
            assert [(wait.who, wait.waited_s) for wait in found] == [("rollout/0", FIRST_S + 5), ("reward/0", FIRST_S)]
            assert [wait.who for wait in waits.longest()] == ["rollout/0", "rollout/0", "reward/0"]


def test_it_is_known_for_how_long_nobody_was_asked():
    waits = Waits()
    waits.pass_time(30)
    assert waits.still_s == 30
    with waits("trainer", "update"):
        assert waits.still_s == 0
    waits.pass_time(7)
    assert waits.still_s == 7
