"""A run without progress says who it waits for, and what it is doing is in status.json."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from cluster.waits import FIRST_S, Waits
from rl.config.schema import TrackerConfig
from rl.driver import progress as progress_module
from rl.driver.progress import Progress
from rl.records.status import read_status
from rl.records.tracking import Tracker


class Watch:
    """What a watch knows of two actors."""

    lost = ""

    def pids(self):
        return {"rollout/0": 5, "trainer/0": 6}

    def frozen(self):
        return ["rollout/0"]


@pytest.fixture
def waits(monkeypatch):
    found = Waits()
    monkeypatch.setattr(progress_module, "waiting", found)
    return found


@pytest.fixture
def progress(tmp_path, waits):
    console = Console(file=io.StringIO(), width=300)
    return Progress(tmp_path, Tracker(tmp_path, TrackerConfig(wandb="disabled"), console))


def said(progress):
    file = progress.tracker.console.file
    text = file.getvalue()
    file.seek(0)
    file.truncate()
    return text.splitlines()


def pass_time(progress, seconds):
    for _ in range(int(seconds / 5)):
        progress.look(Watch(), 5.0)


def test_it_names_who_is_waited_for_where_and_for_how_long(progress, waits, tmp_path):
    with progress.tracker.stage("reasoning", total=10, start=2), waits("rollout/1", "collect"):
        pass_time(progress, FIRST_S - 5)
        assert said(progress) == []
        pass_time(progress, FIRST_S + 5)
        assert said(progress) == [
            f"waiting for {seconds} s for rollout/1 to sample (step 3 of stage reasoning)" for seconds in (60, 120)
        ]
        status = read_status(tmp_path)
        assert status["waiting"] == [{"who": "rollout/1", "what": "sample", "seconds": 120}]
        assert (status["stage"], status["step"], status["ended"]) == ("reasoning", 2, None)
        assert status["actors"] == {"rollout/0": 5, "trainer/0": 6} and status["frozen"] == ["rollout/0"]
    progress.write("it was interrupted")
    assert read_status(tmp_path)["ended"] == "it was interrupted" and read_status(tmp_path)["waiting"] == []


def test_a_step_is_counted_from_the_log(progress, tmp_path):
    with progress.tracker.stage("reasoning", total=10, start=2):
        progress.tracker.log("reasoning", 2, {"loss": 1.0})
    progress.write(None)
    assert read_status(tmp_path)["step"] == 3


def test_a_driver_that_asks_nobody_says_what_it_does(progress, waits):
    with progress.tracker.stage("mid", total=10, start=0), progress.tracker.phase("checkpoint"):
        pass_time(progress, 2 * FIRST_S)
        assert said(progress) == [
            f"for {seconds} s this process has been busy with checkpoint and has asked no actor (step 1 of stage mid)"
            for seconds in (60, 120)
        ]
        with waits("trainer", "save"):
            pass_time(progress, FIRST_S - 5)
        pass_time(progress, FIRST_S - 5)
        assert said(progress) == []


STUCK = """
import ctypes, sys, threading, types
from pathlib import Path
from rl.config.schema import TrackerConfig
from rl.driver.progress import Progress
from rl.job import _told, console
from rl.records.losses import Losses
from rl.records.tracking import Tracker

run_dir = Path(sys.argv[1])
tracker = Tracker(run_dir, TrackerConfig(wandb="disabled"), console)
progress = Progress(run_dir, tracker)
watch = types.SimpleNamespace(lost="was lost: its raylet (pid 7) died", pids=dict, frozen=list)

def look():
    while True:
        progress.look(watch, 5.0)

with _told(Losses(run_dir, console, lambda: (None, None)), progress, "en"):
    threading.Thread(target=look).start()
    lock, libc = ctypes.create_string_buffer(256), ctypes.CDLL(None)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)  # for good, and no signal ends it
"""


def test_a_main_thread_that_nothing_interrupts_does_not_keep_a_lost_ray_secret(tmp_path):
    answer = subprocess.run([sys.executable, "-c", STUCK, str(tmp_path)], capture_output=True, text=True, timeout=300)
    said = "Ray was lost: its raylet (pid 7) died. The same command goes on from what was saved"
    assert answer.returncode == 1 and f"error: {said}" in answer.stderr and "Traceback" not in answer.stderr
    assert json.loads((tmp_path / "losses.jsonl").read_text())["who"] == "Ray"
    assert "its raylet (pid 7) died" in read_status(tmp_path)["ended"]
    assert (tmp_path / "post-mortem.html").is_file()
