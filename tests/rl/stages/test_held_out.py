"""Which weights a GRPO stage may end with, by the questions that are held out of its training."""

import json

import pytest

from curricula.tasks import make_prompts
from rl.config.compose import load
from rl.config.derive import check
from rl.data.held_out import questions, trained_on
from rl.errors import UserError
from rl.stages.held_out import Guard


def test_the_best_weights_are_those_without_a_fallen_task():
    guard = Guard()
    guard.begin({"age": 0.50, "charge": 0.80}, [], may_lose=0.02)
    assert not guard.offer({"age": 0.95, "charge": 0.77}, 10), "a higher mean, and charge has fallen"
    assert guard.fallen({"age": 0.95, "charge": 0.77}) == ["charge"]
    assert guard.offer({"age": 0.60, "charge": 0.78}, 20), "two points lower are allowed"
    assert not guard.offer({"age": 0.60, "charge": 0.78}, 30), "of equal ones the first stays"
    assert (guard.step, guard.accuracy) == (20, pytest.approx(0.69))


def test_what_a_stage_may_lose_does_not_add_up_over_stages():
    guard = Guard()
    guard.begin({"age": 0.60, "charge": 0.79}, [{"charge": 0.81}, {"charge": 0.75}, {"age": 0.4}], may_lose=0.02)
    assert guard.floor == {"age": pytest.approx(0.38), "charge": pytest.approx(0.79)}, "the first stage with it counts"


def test_weights_of_the_start_stay_where_no_others_count():
    guard = Guard()
    guard.begin({"age": 0.5}, [], may_lose=0.0)
    assert not guard.offer({"age": 0.5}, 10) and guard.step == 0 and guard.floor


def test_a_state_goes_on():
    guard, other = Guard(), Guard()
    guard.begin({"age": 0.5}, [], may_lose=0.1)
    guard.offer({"age": 0.6}, 10)
    other.load_state_dict(json.loads(json.dumps(guard.state_dict())))
    assert other.state_dict() == guard.state_dict() and not other.offer({"age": 0.6}, 20)


def test_held_out_questions_are_not_trained_on(tmp_path):
    rows = make_prompts("age", "train", 20, seed=0)
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(json.dumps(row.to_json(), ensure_ascii=False) for row in rows), encoding="utf-8")
    kept, aside = trained_on(str(file), 6), questions(str(file), 6)
    assert len(aside) == 6 and len(kept) == 14
    assert {row.uid for row in kept} | {row.uid for row in aside} == {row.uid for row in rows}
    assert len(questions(str(file), 15)) == 10, "half of a file at most"
    assert questions(str(file), 0) == questions("age", 0) == [] and len(trained_on(str(file), 0)) == 20
    generated = questions("age", 30)
    trained = {row.uid for row in make_prompts("age", "train", 2000, seed=1)}
    assert len(generated) == 30 and not trained & {row.uid for row in generated}


def test_engines_that_never_pause_are_refused():
    stage = {"name": "rl", "kind": "grpo", "steps": 1, "tasks": {"age": 1.0}, "held_out": 5}
    values = {"run_dir": "runs/x", "curriculum": {"name": "x", "stages": [stage]}}
    check(load(values))
    with pytest.raises(UserError, match=r"held_out=5 asks the engines between steps.*periodic"):
        check(load(values | {"rollout": {"overlap": "async"}}))
