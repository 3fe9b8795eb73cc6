"""A command that is bound to its parent: when either ends, nothing that it started is left, nor its shared memory."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cluster.processes import remaining

SERVER = """\
import json, multiprocessing, os, sys, time
from multiprocessing.shared_memory import SharedMemory

def work(names):
    memory = SharedMemory(create=True, size=64)
    names.put((os.getpid(), memory.name))
    time.sleep(1000)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    names = context.Queue()
    context.Process(target=work, args=(names,)).start()
    pid, memory = names.get()
    print(json.dumps([os.getpid(), pid, memory]), flush=True)
    time.sleep(1000)
"""
"""As a server of models does: its work is done in a process of its own, which holds shared memory."""

PARENT = """\
import os, subprocess, sys, time
subprocess.call([sys.executable, "-m", "rewards.lifetime", str(os.getpid()), sys.executable, sys.argv[1]])
time.sleep(1000)
"""


@pytest.mark.parametrize("killed", ["parent", "command"])
def test_nothing_is_left_when_parent_or_command_is_killed(tmp_path, killed):
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(script)], stdout=subprocess.PIPE, text=True)
    command, worker, memory = json.loads(parent.stdout.readline())
    family = psutil.Process(parent.pid).children(recursive=True)
    assert {command, worker} <= {one.pid for one in family} and Path("/dev/shm", memory).exists()
    os.kill(parent.pid if killed == "parent" else command, signal.SIGKILL)
    alive = remaining(family, within_s=60)
    parent.kill()
    parent.wait()
    assert not alive
    deadline = time.monotonic() + 10
    while Path("/dev/shm", memory).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path("/dev/shm", memory).exists()
