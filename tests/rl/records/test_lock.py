"""One writer in a folder at a time: who is refused, and when the folder is free again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from rl.errors import UserError
from rl.records import lock as locks
from rl.records.lock import FolderLock
from rl.records.process import Process, parse, this_process
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from rl.records import lock
lock.BEAT_S = 0.05
with lock.FolderLock(Path(sys.argv[1]), "--out FOLDER"):
    print("held", flush=True)
    exec(sys.argv[2] if len(sys.argv) > 2 else "time.sleep(600)")
"""


def hold(folder, body="time.sleep(600)"):
    """A process that has the folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), body], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "held\n"
    return child


def take(folder):
    return FolderLock(folder, "--out FOLDER", lambda text: None)


def test_the_second_process_is_refused_and_gets_in_at_once_after_kill_9(tmp_path):
    child = hold(tmp_path)
    try:
        with pytest.raises(UserError, match=rf"another process \(pid {child.pid} on host \S+, since 20\d\d-.*--out FO"):
            take(tmp_path)
    finally:
        child.send_signal(signal.SIGKILL)  # it is a zombie now, as nobody has waited for it
    began = time.monotonic()
    with take(tmp_path) as lock:
        assert (lock.left.pid, lock.left.host) == (child.pid, socket.gethostname())
        assert abs(lock.left.seen.timestamp() - time.time()) < 60
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert time.monotonic() - began < 60
    child.wait()
    with take(tmp_path) as lock:
        assert lock.left is None, "the one before has released it"
    assert (tmp_path / ".lock").read_bytes() == b"", "a folder that was left names nobody"


def test_two_processes_that_start_together_are_one(tmp_path):
    body = "import os; os.write(1, b'in\\n'); time.sleep(5)"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), body], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [child.communicate(timeout=120) for child in both]
    assert sorted(b"in" in out for out, _ in said) == [False, True], said
    assert any(b"is being written by another process" in error for _, error in said)


def test_a_forked_child_does_not_keep_the_folder(tmp_path):
    child = hold(tmp_path, "import os\nif os.fork() == 0: os.setsid(); time.sleep(8)\nelse: time.sleep(600)")
    time.sleep(0.3)
    child.kill()
    child.wait()
    take(tmp_path).release()


def elsewhere(host="0" * 8, boot="1" * 8, space=1, pid=1, started=5):
    text = Process(host, boot, space, pid, started).text
    return json.dumps({"process": text, "pid": pid, "host": "node7", "since": "2026-01-01 00:00:00+00:00"})


def test_another_machine_s_process_is_known_by_its_beat(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "GONE_S", 1.0)
    monkeypatch.setattr(locks, "BEAT_S", 0.1)
    path = tmp_path / ".lock"
    path.write_text(elsewhere())
    stop = threading.Event()

    def beat():
        while not stop.wait(0.1):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(UserError, match=r"pid 1 on host node7, since 2026-01-01"):
        take(tmp_path)
    stop.set()
    thread.join()
    said = []
    FolderLock(tmp_path, "", said.append).release()
    assert re.search(r"was in use until 0 s ago by pid 1 on host node7.*; waiting up to 1 s", said[0])
    path.write_text(elsewhere())
    os.utime(path, (1, 1))
    FolderLock(tmp_path, "", said.append).release()
    assert len(said) == 1, "one that has been silent for long is not waited for"


def test_a_process_that_was_taken_for_gone_ends_before_it_writes(tmp_path):
    child = hold(tmp_path)
    (tmp_path / ".lock").write_text(elsewhere())
    _, error = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGTERM
    assert "was taken over by pid 1 on host node7" in error
    assert (tmp_path / ".lock").read_text() == elsewhere()


def test_a_file_system_without_locks_goes_by_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_flock", lambda file: None)
    child = hold(tmp_path)
    with pytest.raises(UserError, match=f"pid {child.pid} on"):
        take(tmp_path)
    child.kill()
    child.wait()
    take(tmp_path).release()


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b'{"process": 3}', b"[" * 100_000, b'{"process": "a-b"}'])
def test_a_damaged_lock_file_locks_nothing(tmp_path, content):
    (tmp_path / ".lock").write_bytes(content)
    take(tmp_path).release()


def test_a_moved_folder_takes_its_lock_along(tmp_path):
    old, new = tmp_path / "run", tmp_path / "run.before"
    with take(old):
        old.rename(new)
        with take(old):
            pass
    assert (new / ".lock").read_bytes() == (old / ".lock").read_bytes() == b""


def test_what_stands_in_the_way_is_said(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / ".lock").symlink_to(tmp_path / "file")
    for folder in ("file", "file/below", "link", "x" * 300, "/proc/themis"):
        with pytest.raises(UserError, match=r"can't be used|can't be made"):
            take(tmp_path / folder)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_process_is_known_by_more_than_its_pid():
    mine = this_process()
    assert parse(mine.text) == mine and mine.state() == "living"
    later = Process(mine.host, mine.boot, mine.space, mine.pid, mine.started + 1)
    assert later.state() == "gone", "the pid was given again"
    assert Process(mine.host, "0" * 8, mine.space, mine.pid, mine.started).state() == "gone", "the machine restarted"
    assert Process(mine.host, mine.boot, 1, 1, 1).state() == "elsewhere", "another container"
    assert Process("0" * 8, "0" * 8, mine.space, mine.pid, mine.started).state() == "elsewhere"
    for text in ("", "12", mine.text + "-", mine.text + "/x"):
        assert parse(text) is None
