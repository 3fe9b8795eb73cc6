"""An evaluation on a file of the training is told of."""

from rl.config.compose import load
from rl.config.tested_on import seen_in_training

SFT = {"name": "sft", "kind": "sft", "steps": 1, "prompts_per_step": 1, "data": "a.jsonl"}
RL = {
    "name": "rl", "kind": "grpo", "steps": 1, "prompts_per_step": 1, "samples_per_prompt": 2,
    "tasks": {"age": 1, "data/b.jsonl": 1},
}  # fmt: skip


def asked(file, name="test"):
    return {"name": name, "kind": "evaluate", "data": file}


def said(*stages):
    return seen_in_training(
        load({"run_dir": "x", "curriculum": {"name": "c", "stages": list(stages)}}).curriculum.stages
    )


def test_a_file_of_the_training_is_named_however_it_is_written():
    (one,) = said(SFT, RL, asked("./data/../a.jsonl"))
    assert one.startswith("stage test asks the questions of ./data/../a.jsonl, on which stage sft trains")
    assert len(said(SFT, RL, asked("a.jsonl"), asked("data/b.jsonl", "other"))) == 2


def test_what_is_trained_on_later_or_never_is_no_matter():
    assert said(asked("a.jsonl"), SFT, RL, asked("c.jsonl", "other")) == []
