"""A process is killed between the last line of a stage and the record that the stage is done; the next one goes on."""

import json

import pytest

from tests.rl.forks import in_fork
from tests.rl.stages.killed_recording import main


def left(folder):
    """What a run has logged and kept, without what a clock gave."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    results = json.loads((folder / "results.json").read_text())
    rollouts = sorted(str(path.relative_to(folder)) for path in folder.glob("rollouts/*/*"))
    return [{k: v for k, v in line.items() if k != "time"} for line in lines], results, rollouts


@pytest.mark.parametrize("kind", ["evaluate", "perplexity", "sft"])
def test_a_stage_is_logged_once_however_often_it_is_killed(tmp_path, kind):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ends = [("before", "recorded"), ("middle", "logged"), ("middle", "recorded"), ("after", "recorded")]
    runs = [(killed, doomed, kind, moment) for doomed, moment in ends]
    *ended, last, unbroken = in_fork(main, [*runs, *((folder, "none", kind, "") for folder in (killed, whole))])
    steps = 2 if kind == "sft" else 1
    assert ended == [(-9, 1), (-9, steps), (-9, steps), (-9, 1)] and last == unbroken == (0, 0)
    assert left(killed) == left(whole)


def test_steps_that_are_run_again_leave_no_rollouts_of_before(tmp_path):
    from rich.console import Console

    from rl.config.schema import TrackerConfig
    from rl.records.tracking import Tracker

    tracker = Tracker(tmp_path, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    for stage in ("a", "b"):
        for step in range(3):
            tracker.dump_groups(stage, step, [{"uid": "u", "parts": {}, "meta": {}}])
    tracker.drop("b", 1)
    found = sorted(str(path.relative_to(tmp_path / "rollouts")) for path in tmp_path.glob("rollouts/*/*"))
    assert found == [f"a/step-00000{step}.parquet" for step in range(3)] + ["b/step-000000.parquet"]
