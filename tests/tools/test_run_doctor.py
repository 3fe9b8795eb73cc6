"""The doctor of a run folder: living, frozen, killed, damaged, complete. The drivers are real processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cluster.processes import look
from rl.records.checkpoint import Checkpoints
from rl.records.manifest import Manifest
from rl.records.status import Status, now, write_status
from rl.report.post_mortem import NAME
from rl.weights.shared import run_id
from tests.conftest import ROOT
from tests.rl.report.folders import config
from tools.doctor import main

DRIVER = """
import sys, time
from pathlib import Path
from rl.records.lock import FolderLock
with FolderLock(Path(sys.argv[1]), "run_dir=FOLDER"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run_dir(tmp_path):
    """A run whose first stage is done, with a checkpoint of the second."""
    run_dir = tmp_path / "run"
    Manifest.open(run_dir, config(run_dir, 0)).record("ppl", done=True)
    (run_dir / "metrics.jsonl").write_text('{"stage": "mid", "step": 0, "loss": 1.0, "time": {"step": 1.0}}\n')
    Checkpoints(run_dir, 2).save("mid", 1, lambda folder: folder.mkdir(), {}, None)
    return run_dir


@pytest.fixture
def driver(run_dir):
    child = subprocess.Popen([sys.executable, "-c", DRIVER, run_dir], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()


@pytest.fixture
def examine(run_dir, capsys):
    """Runs the command; returns its exit code and its lines by name."""

    def run():
        code = main([str(run_dir), "--json"])
        return code, {line["name"]: line for line in json.loads(capsys.readouterr().out)}

    return run


def status(run_dir, **facts):
    found = {
        "written": now(), "began": now(), "stage": "mid", "step": 1, "waiting": [], "frozen": [], "actors": {},
        "logs": None, "ended": None,
    }  # fmt: skip
    write_status(run_dir, Status(**{**found, **facts}))


def test_a_living_run_is_well_and_says_who_it_waits_for(run_dir, driver, examine):
    status(run_dir)
    code, found = examine()
    assert code == 0 and f"it runs (pid {driver.pid} on host" in found["driver"]["detail"]
    assert found["stage"]["detail"].startswith("mid, 1 of 12 steps; last line")
    assert found["waits"]["status"] == "ok" and found["files"]["status"] == "ok" and "next" not in found
    status(run_dir, waiting=[{"who": "rollout/1", "what": "sample", "seconds": 61.0}])
    code, found = examine()
    assert code == 0 and found["waits"]["detail"] == "for 1 min 1 s for rollout/1 to sample"


def test_what_a_signal_has_stopped_is_named(run_dir, driver, examine):
    status(run_dir, frozen=["trainer/0"])
    code, found = examine()
    assert code == 1 and found["frozen"]["detail"].startswith("trainer/0: a signal has stopped")
    status(run_dir)
    driver.send_signal(signal.SIGSTOP)
    while look(driver.pid)[0] != "T":
        time.sleep(0.01)
    code, found = examine()
    assert code == 1 and found["driver"]["fix"] == f"kill -CONT {driver.pid}"


def test_a_killed_driver_is_told_with_a_post_mortem_and_the_next_command(
    run_dir, driver, examine, monkeypatch, tmp_path
):
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr("rl.weights.shared.SHARED_MEMORY", memory)
    process = json.loads((run_dir / ".lock").read_text())["process"]
    (memory / f"themis-{run_id(run_dir)}-{process}.safetensors").write_bytes(bytes(2**20))
    status(run_dir)
    driver.kill()
    driver.wait()
    code, found = examine()
    assert code == 1
    assert f"it ended without a word (pid {driver.pid} on host" in found["driver"]["detail"]
    assert f"pid {driver.pid}" in (run_dir / NAME).read_text() and NAME in found["driver"]["detail"]
    assert found["checkpoint"]["detail"] == "stage mid after step 1: every file is as it was written"
    assert found["next"]["detail"] == "the same command goes on from the checkpoint of stage mid after step 1 of 12"
    assert found["shared memory"]["detail"] == "1.0 MiB left by killed starts"


def test_how_a_run_ended_is_said(run_dir, examine):
    status(run_dir, ended="Ray was lost: its raylet (pid 5) died")
    code, found = examine()
    assert code == 1 and "Ray was lost: its raylet (pid 5) died" in found["driver"]["detail"]
    manifest = json.loads((run_dir / "manifest.json").read_text())
    names = [stage["name"] for stage in manifest["config"]["curriculum"]["stages"]]
    manifest["stages"] = {name: {"done": True} for name in names}
    (run_dir / "manifest.json").write_text(json.dumps(manifest))
    status(run_dir, ended="")
    code, found = examine()
    assert code == 0 and found["driver"]["detail"].startswith("the run is complete")


@pytest.mark.parametrize("name", ["metrics.jsonl", "manifest.json", "results.json", "losses.jsonl", "status.json"])
def test_damage_is_named(run_dir, examine, name):
    (run_dir / name).write_text('{"a": \n')
    code, found = examine()
    assert code == 1 and found["files"]["status"] == "error" and name in found["files"]["detail"]


def test_a_damaged_checkpoint_and_rollout_file_are_named(run_dir, examine):
    path = run_dir / "checkpoints" / "mid" / "step-000001" / "driver.json"
    path.write_text(path.read_text().replace("1", "2"))
    rollouts = run_dir / "rollouts" / "grpo"
    rollouts.mkdir(parents=True)
    (rollouts / "step-000000.parquet").write_bytes(b"PAR1 and so on")
    code, found = examine()
    assert code == 1 and "is corrupt" in found["checkpoint"]["detail"]
    assert "can't be read as Parquet" in found["files"]["detail"]


def test_another_folder_is_a_sentence(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
