"""The disk that a plan counts, by hand."""

import pytest

from rl.config.compose import load
from rl.config.derive import derive

STAGES = [
    {"name": "sft", "kind": "sft", "steps": 50, "demonstrations": {"age": 4}},
    {"name": "rl", "kind": "grpo", "steps": 10, "tasks": {"age": 1.0}, "sampling": {"max_tokens": 32}},
    {"name": "look", "kind": "evaluate", "tasks": ["age"], "questions": 100, "sampling": {"max_tokens": 32}},
]


def disk(**values):
    given = {"run_dir": "x", "curriculum": {"name": "x", "stages": STAGES}, "model": {"max_length": 256}}
    plan = derive(load(given | values))
    return {what.partition(":")[0]: gib * 2**30 for what, gib in plan.disk}, plan.parameters, dict(plan.disk)


def test_checkpoints_exports_and_rollouts():
    found, weights, said = disk()
    assert found["checkpoints"] == pytest.approx((3 + 1 + 1) * 12 * weights), "3 of sft, 1 of rl, 1 being written"
    assert found["exports"] == pytest.approx(2 * 4 * weights)
    assert found["rollouts"] == pytest.approx((10 * 16 * 8 + 100) * 32 * 16)
    assert "checkpoints: 4 (trainer.keep_last=2 and the best of each stage)" in said


def test_what_is_kept_bounds_it():
    found, weights, said = disk(trainer={"keep": "needed", "keep_last": 1}, tracker={"keep_rollouts": 3})
    assert found["checkpoints"] == pytest.approx((2 + 1 + 1) * 12 * weights) and "trainer.keep=needed" in "".join(said)
    assert found["rollouts"] == pytest.approx((3 * 16 * 8 + 100) * 32 * 16)
    found, weights, _ = disk(model={"max_length": 256, "lora_rank": 4}, tracker={"dump_rollouts": False})
    assert found["checkpoints"] == pytest.approx(5 * 4 * weights) and "rollouts" not in found
