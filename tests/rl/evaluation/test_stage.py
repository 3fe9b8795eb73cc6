"""Benchmarks of an evaluation stage."""

import json

import pytest

from rl.config.stages import EvaluateStage
from rl.errors import UserError
from rl.evaluation.stage import read_benchmarks


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ({"lexeval": [11]}, r"task 11 was read as a number; put its name in quotes"),
        ({"root": "x"}, r"give tasks, data or benchmarks; all are empty"),
        ({"held_out": "age"}, r"benchmarks.held_out='age': root is text, shots and limit numbers, the rest lists"),
    ],
)
def test_benchmarks_of_a_stage_are_checked_by_form(benchmarks, message):
    with pytest.raises(ValueError, match=message):
        EvaluateStage(name="look", kind="evaluate", benchmarks=benchmarks)


def test_benchmarks_of_a_stage_are_read_before_anything_starts():
    stage = EvaluateStage(name="look", kind="evaluate", benchmarks={"held_out": ["age"], "limit": 3, "shots": 2})
    ((benchmark, (task,)),) = read_benchmarks(stage)
    assert benchmark.name == "held_out" and len(task.questions) == 3 and len(task.questions[0].shots) == 2
    with pytest.raises(UserError, match="has no task agee"):
        read_benchmarks(EvaluateStage(name="look", kind="evaluate", benchmarks={"held_out": ["agee"]}))


def test_two_benchmarks_of_one_name_are_refused(tmp_path):
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "one.jsonl").write_text('{"question": "问", "answer": "A"}\n')
    task = {"file": "one.jsonl", "prompt": "{question}", "reference": "answer", "metric": "exact"}
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"name": "same", "tasks": {"one": task}}))
    given = {str(tmp_path / "a.yaml"): ["one"], str(tmp_path / "b.yaml"): ["one"], "root": str(tmp_path)}
    with pytest.raises(UserError, match="two benchmarks are named same"):
        read_benchmarks(EvaluateStage(name="look", kind="evaluate", benchmarks=given))
