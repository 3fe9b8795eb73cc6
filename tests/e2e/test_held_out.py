"""A stage that measures held-out accuracy, killed in its midst, ends as an unbroken one."""

import json

import pytest

from tests.e2e.runs import ROOT, finish, kill, metrics, start, wait_for

SETTINGS = "held_out: 8\n    held_out_every: 2\n    may_lose: 1.0\n    "


@pytest.mark.slow  # two whole runs
def test_a_kill_changes_neither_measurements_nor_the_weights_that_are_kept(tmp_path):
    smoke = (ROOT / "rl/conf/curriculum/smoke.yaml").read_text(encoding="utf-8")
    assert smoke.count("difficulty: 0.5") == 1
    (tmp_path / "held.yaml").write_text(
        smoke.replace("difficulty: 0.5", f"{SETTINGS}difficulty: 0.5"), encoding="utf-8"
    )
    words = (f"+curriculum={tmp_path / 'held.yaml'}",)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(whole, *words)
    process = start(broken, *words)
    wait_for(broken, "grpo", 2, process)
    kill(process.pid)
    process.wait()
    finish(broken, *words)
    assert metrics(broken) == metrics(whole)
    measured = [line for line in metrics(whole) if "held_out/accuracy" in line]
    assert [line["step"] for line in measured] == [1, 3, 5]
    records = [json.loads((run / "manifest.json").read_text())["stages"]["grpo"] for run in (whole, broken)]
    assert records[0] == records[1] and records[0]["held_out"].keys() == {"age", "limitation"}
