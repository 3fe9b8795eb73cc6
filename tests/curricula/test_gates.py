import json
import math

import pytest

from curricula.errors import DataError
from curricula.gates import Condition, GateWatch, unmet

READY = Condition("task/age/accuracy", above=0.8, steps=3)
SHORT = Condition("completion_length", below=30)
GUARD = Condition("task/charge/accuracy", below=0.5, steps=2)


def watch():
    return GateWatch([READY, SHORT], [GUARD])


def line(age=0.9, length=20, charge=0.9):
    return {"task/age/accuracy": age, "completion_length": length, "task/charge/accuracy": charge}


def test_a_stage_is_left_when_all_hold_for_long_enough():
    found = watch()
    assert found.observe(line()) is None and found.observe(line()) is None
    assert found.observe(line(length=40)) is None, "one of them does not hold"
    opened = found.observe(line())
    assert opened.kind == "leave" and "task/age/accuracy ≥ 0.8 for 3 steps; completion_length ≤ 30" in opened.why


def test_a_step_without_the_metric_does_not_break_the_run():
    found = watch()
    found.observe(line())
    found.observe(line())
    found.observe(line(age=0.1))
    found.observe(line())
    assert found.observe({"completion_length": 20}) is None, "two steps"
    found.observe({"completion_length": 20})
    assert found.observe(line()) is None and found.observe(line()).kind == "leave"


def test_falling_back_comes_before_leaving_and_says_for_how_long():
    found = watch()
    for _ in range(2):
        found.observe(line(length=40))
    found.observe(line(length=40, charge=0.4))
    opened = found.observe(line(charge=0.4))
    assert opened.kind == "fall_back" and opened.steps == 2 and "charge" in opened.why


def test_it_resumes_and_refuses_the_state_of_other_gates():
    found, other = watch(), watch()
    found.observe(line())
    found.observe(line())
    other.load_state_dict(json.loads(json.dumps(found.state_dict())))
    assert other.observe(line()).kind == found.observe(line()).kind == "leave"
    with pytest.raises(DataError, match="the state of the gates is for"):
        GateWatch([READY], []).load_state_dict(found.state_dict())


def test_a_number_that_is_none_never_holds():
    assert not READY.holds(math.nan) and not GUARD.holds(math.nan)
    assert Condition("kl", above=0.1, below=0.2).holds(0.15) and not Condition("kl", above=0.1, below=0.2).holds(0.3)


def test_what_keeps_a_stage_from_beginning_is_a_sentence():
    ready = Condition("accuracy/age", above=0.5)
    assert unmet([ready], {"accuracy/age": 0.5}) is None and unmet([], {}) is None
    assert unmet([ready], {"accuracy/age": 0.41}) == "accuracy/age ≥ 0.5 does not hold: it is 0.41"
    assert "the last evaluation gave accuracy" in unmet([ready], {"accuracy": 0.9})
