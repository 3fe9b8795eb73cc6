"""Rejection sampling: what it keeps, that it teaches, and that a run which was killed ends as an unbroken one."""

import json
import subprocess
import sys
from collections import Counter

import pytest
import ray

from curricula.records import read_demonstrations
from rl.data.kept_answers import demonstrations_file
from rl.errors import UserError
from rl.job import run
from rl.records.rollouts import read_rows
from rl.report.page import write_report
from tests.conftest import ROOT
from tests.e2e.catalogue import hold_to_catalogue
from tests.e2e.runs import kill, wait_for
from tests.e2e.test_curriculum_state import same, weights
from tests.e2e.test_variants import config, lines
from tools.chaos.compare import completions, metric_lines

SAMPLING = {"max_tokens": 32}
LOOK = {
    "kind": "evaluate", "tasks": ["age", "limitation"], "questions": 60, "split": "dev",
    "sampling": {"temperature": 1, **SAMPLING},
}  # fmt: skip
OWN = {
    "name": "own", "kind": "rejection", "rounds": 3, "sampling_steps": 2, "training_steps": 16, "prompts_per_step": 48,
    "samples_per_prompt": 8, "tasks": {"age": 1, "limitation": 1}, "reward": {"accuracy": 1.0, "format": 0.1},
    "keep": {"reward": "accuracy", "at_least": 1, "per_prompt": 4}, "max_prompt_tokens": 96, "sampling": SAMPLING,
    "optim": {"lr": 3e-3, "schedule": "cosine", "min_lr_ratio": 0.2},
}  # fmt: skip
SFT = {
    "name": "sft", "kind": "sft", "steps": 60, "prompts_per_step": 16, "optim": {"lr": 3e-3},
    "demonstrations": {"age": 60, "limitation": 60},
}  # fmt: skip
STAGES = [SFT, {"name": "before", **LOOK}, OWN, {"name": "after", **LOOK}]
A_ROUND = OWN["sampling_steps"] + OWN["training_steps"]
SAMPLE = [number * A_ROUND + place for number in range(3) for place in range(2)]
"""The steps that sample."""


def settings(run_dir, models, stages=STAGES):
    """Of a run that saves a checkpoint every three steps, so that some steps are made again."""
    return config(run_dir, models, stages, trainer={"checkpoint_every": 3}, tracker={"wandb": "disabled"})


@pytest.fixture(scope="module")
def unbroken(ray_cluster, models, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("rejection") / "whole"
    run(settings(run_dir, models))
    return run_dir


def test_right_answers_are_kept_and_trained_on(unbroken):
    found = lines(unbroken, "own")
    assert [line["step"] for line in found] == list(range(3 * A_ROUND))
    assert [line["step"] for line in found if "answers/right" in line] == SAMPLE
    assert all(("loss" in line) == (line["step"] not in SAMPLE) for line in found)
    assert [line["round"] for line in found] == [number for number in (0, 1, 2) for _ in range(A_ROUND)]
    for number in range(3):
        steps = range(number * A_ROUND, number * A_ROUND + 2)
        rows = [row for step in steps for row in read_rows(unbroken, "own", step)]
        whole = [row for row in rows if row["parts"]["accuracy"] == 1 and row["finish_reason"] == "stop"]
        right = {(row["prompt"], row["completion"]) for row in whole}
        kept = read_demonstrations(demonstrations_file(unbroken / "demonstrations" / "own", number))
        pairs = [(one.messages[-1]["content"], one.demonstration) for one in kept]
        assert set(pairs) <= right and len(set(pairs)) == len(pairs), "right ones, none twice"
        answers = Counter(prompt for prompt, _ in right)
        assert Counter(prompt for prompt, _ in pairs) == {prompt: min(4, n) for prompt, n in answers.items()}
        assert sum(found[step]["answers/right"] for step in steps) == pytest.approx(len(whole) / (48 * 8))
        assert found[steps[-1]]["answers/kept"] == len(pairs)
        assert found[(number + 1) * A_ROUND - 1]["passes"] == 16 * 48 / len(pairs)
    assert not (unbroken / "answers").exists(), "of a stage that is done"


def test_a_round_samples_the_policy_that_the_one_before_trained(unbroken):
    versions = [{row["weight_version"] for row in read_rows(unbroken, "own", step)} for step in SAMPLE]
    assert all(len(version) == 1 for version in versions)
    first, again, *others = (version.pop() for version in versions)
    assert first == again < others[0] == others[1] < others[2] == others[3]
    assert not same(weights(unbroken, "own"), weights(unbroken, "sft"))


def test_the_policy_is_right_more_often(unbroken):
    shares = [line["answers/right"] for line in lines(unbroken, "own") if "answers/right" in line]
    assert sum(shares[-2:]) > 1.5 * sum(shares[:2])
    before, after = json.loads((unbroken / "results.json").read_text())
    assert [before["after"], after["after"]] == ["sft", "own"]
    right = [sum(task["correct"] for task in result["per_task"].values()) for result in (before, after)]
    assert right[1] > 1.3 * right[0], f"of {2 * LOOK['questions']} held-out questions, sampled: {right}"


def test_every_number_is_in_the_catalogue(unbroken):
    assert {"answers/kept", "passes", "task/age/accuracy", "time/dump"} <= hold_to_catalogue(unbroken)


def test_the_report_shows_the_rounds(unbroken):
    page = write_report(unbroken).read_text(encoding="utf-8")
    assert "rejection sampling" in page and "Right answers" in page and "54 of 54 steps" in page
    assert "best 4 a prompt, accuracy ≥ 1" in page and "in round 1" in page and 'class="sample' in page


CHILD = (
    "import json, sys; from rl.config.compose import load; from rl.job import run; run(load(json.loads(sys.argv[1])))"
)


def child(given, address):
    """A run in a process of its own, on the Ray of the tests."""
    values = given.model_dump(mode="json")
    values["cluster"]["address"] = address
    log = (ROOT / values["run_dir"]).with_suffix(".log")
    with log.open("a") as file:
        command = [sys.executable, "-c", CHILD, json.dumps(values)]
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)


WHILE_TRAINING, IN_A_LATER_ROUND = 4, A_ROUND
"""Steps of the stage: in the first round's training; and, after it, in the middle of the second one's sampling."""


@pytest.mark.slow  # tests/rl/stages/test_rejection.py dies at every moment, without engines
@pytest.mark.timeout(1200)
def test_a_run_that_was_killed_ends_as_an_unbroken_one(unbroken, ray_cluster, models, tmp_path):
    given, address = settings(tmp_path / "run", models), ray.get_runtime_context().gcs_address
    for step in (WHILE_TRAINING, IN_A_LATER_ROUND):
        process = child(given, address)
        wait_for(tmp_path / "run", "own", step, process)
        kill(process.pid)
        process.wait()
    process = child(given, address)
    assert process.wait(900) == 0, (tmp_path / "run.log").read_text()[-4000:]
    assert "stage own goes on after step" in (tmp_path / "run.log").read_text()
    assert metric_lines(tmp_path / "run") == metric_lines(unbroken)
    assert completions(tmp_path / "run") == completions(unbroken)
    assert same(weights(tmp_path / "run", "own"), weights(unbroken, "own"))
    for path in (unbroken / "demonstrations" / "own").iterdir():
        assert (tmp_path / "run" / "demonstrations" / "own" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_round_that_keeps_nothing_stops_the_run_with_a_sentence(ray_cluster, models, tmp_path):
    found = [OWN | {"sampling_steps": 1, "prompts_per_step": 2, "keep": {"at_least": 2.0}}]
    with pytest.raises(UserError, match=r"stage own, round 1 of 3: no answer to its 2 prompts is right .*resume=force"):
        run(settings(tmp_path, models, found))
    assert len(read_rows(tmp_path, "own", 0)) == 16, "they can be looked at"
