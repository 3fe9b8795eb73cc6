"""The folder of a run from the command line: who may write there, and what stands in its way. No Ray is started."""

import subprocess
import sys

import pytest

from rl.records.lock import FolderLock
from tests.conftest import ROOT


def start(run_dir, *overrides):
    return subprocess.run(
        [
            sys.executable, "-m", "rl.main", "+curriculum=smoke", f"run_dir={run_dir}", "tracker.wandb=disabled",
            "cluster.dashboard=false", *overrides,
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("overrides", [(), ("resume=restart",), ("resume=force",)])
def test_a_second_driver_is_refused_before_anything_starts(tmp_path, overrides):
    run = tmp_path / "run"
    with FolderLock(run, "run_dir=FOLDER"):
        (run / "metrics.jsonl").write_text("kept\n")
        before = sorted(path.name for path in run.iterdir())
        found = start(run, *overrides)
        assert found.returncode == 2 and found.stdout == ""
        assert found.stderr.count("\n") == 1
        assert f"error: {run} is being written by another process (pid " in found.stderr
        assert sorted(path.name for path in run.iterdir() if path.name != "hydra") == before
        assert (run / "metrics.jsonl").read_text() == "kept\n" and not (run / "manifest.json").exists()


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path):
    (tmp_path / "run").write_text("mine")
    for place in (tmp_path / "run", tmp_path / "run" / "below"):
        found = start(place)
        assert found.returncode == 2 and "Traceback" not in found.stderr and "can't be" in found.stderr
    assert (tmp_path / "run").read_text() == "mine"
