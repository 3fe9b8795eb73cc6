"""A rejection stage is killed wherever it can be, and ends as one that was not."""

import json

import pytest

from tests.rl.forks import in_fork
from tests.rl.stages.killed_rejection import STAGE, main

STEPS = STAGE["rounds"] * (STAGE["sampling_steps"] + STAGE["training_steps"])


def left(folder):
    """All that the stage has left, without what a clock gave."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    files = {path.name: path.read_text() for path in sorted((folder / "demonstrations" / "own").iterdir())}
    rollouts = sorted(path.name for path in (folder / "rollouts" / "own").iterdir())
    steps = [{name: value for name, value in line.items() if name != "time"} for line in lines]
    return steps, files, rollouts, (folder / "weights").read_text(), (folder / "answers").exists()


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert in_fork(main, folder, models["tied"]) == 0
    return left(folder)


def test_rounds_sample_and_train_in_turn(whole):
    steps, files, rollouts, _, answers = whole
    assert [line["step"] for line in steps] == list(range(STEPS)) and not answers
    assert ["loss" in line for line in steps] == ([False] * 3 + [True] * 3) * 2
    assert [line["answers/kept"] for line in steps if "answers/kept" in line][2::3] == [
        text.count("\n") for text in files.values()
    ]
    assert list(files) == ["round-00.jsonl", "round-01.jsonl"] and len(rollouts) == 6


@pytest.mark.parametrize(
    "moments", [pytest.param(("sampling", "training"), marks=pytest.mark.slow), ("logged", "saved")]
)
def test_it_is_killed_at_every_step_and_ends_as_an_unbroken_one(whole, models, tmp_path, moments):
    killed = in_fork(main, tmp_path / "run", models["tied"], *moments)
    deaths = (tmp_path / "run.deaths").read_text().splitlines()
    assert killed == len(deaths) == len(set(deaths)) >= STEPS
    assert left(tmp_path / "run") == whole
