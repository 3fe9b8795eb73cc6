"""Work on parts in several processes gives what one process gives, in order; a killed process is a sentence."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rl.data.spread import spread
from rl.errors import UserError


@pytest.fixture(autouse=True)
def two_cores_without_ray(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)


def test_results_come_in_order_from_other_processes():
    found = list(spread(lambda part: (part * part, os.getpid()), list(range(40))))
    assert [square for square, _ in found] == [part * part for part in range(40)]
    assert os.getpid() not in {pid for _, pid in found}
    assert list(spread(lambda part: os.getpid(), [1])) == [os.getpid()], "one part needs no process"


def test_where_ray_runs_nothing_is_forked(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    assert set(spread(lambda part: os.getpid(), [1, 2, 3])) == {os.getpid()}


def test_a_killed_process_is_a_sentence():
    def work(part):
        if part == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return part

    with pytest.raises(UserError, match="a process that read data was killed, most often because memory is used up"):
        list(spread(work, list(range(8))))


WAITS = """
import os, time
from rl.data.spread import spread
os.sched_getaffinity = lambda pid: {0, 1}
list(spread(lambda part: os.write(1, b"%d\\n" % os.getpid()) and time.sleep(600), [1, 2]))
"""


def test_its_processes_end_with_the_one_that_started_them():
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as parent:
        try:
            pids = [int(parent.stdout.readline()) for _ in range(2)]
        finally:
            parent.kill()
        until = time.monotonic() + 60
        while left := [pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in _state(pid)]:
            assert time.monotonic() < until, left
            time.sleep(0.05)


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
