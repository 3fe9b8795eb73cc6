"""What a reward may not do, tried from a worker."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rewards import confinement
from rewards.pool import LONGEST_ANSWER, WorkerPool
from rewards.verdict import LONGEST, Sample
from tests.rewards import confined

OWN = confined.__name__
CANARIES = {
    **{
        name: f"canary-{name}"
        for name in (
            "JUDGE_API_KEY", "WANDB_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "RAY_AUTH_TOKEN",
            "AWS_SECRET_ACCESS_KEY", "ANTHROPIC_API_KEY", "PYTHON_KEYRING_PASSWORD", "LCD_KEY", "SSH_AUTH_SOCK",
            "MY_TEACHER_KEY",
        )
    },
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "PIP_INDEX_URL"), "http://user:canary-password@127.0.0.1:1"),
}  # fmt: skip


def ask(pool, reward, completion="x", reference="A"):
    (found,) = pool.score([Sample("问", str(completion), str(reference))], {f"{OWN}:{reward}": 1.0})
    return found


@pytest.fixture(scope="module")
def pool():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CANARIES.items():
            patch.setenv(name, value)
        patch.setenv("LC_TIME", "C")
        found = WorkerPool(1, timeout_s=20.0)
        yield found
        found.close()


@pytest.fixture(scope="module")
def parts(pool):
    """The parts of the confinement that this kernel has."""
    answer = ask(pool, "shares")
    assert answer.error is None
    return pool.workers[0].confined


def needs(parts, *names):
    missing = {*names} - {*parts}
    if missing:
        pytest.skip(f"this kernel does not confine {', '.join(sorted(missing))}")


def test_a_worker_sees_no_key(pool):
    found = ask(pool, "environment").reason.removeprefix(f"{OWN}:environment: ")
    assert "canary" not in found
    seen = json.loads(found)
    assert seen["PATH"] == os.environ["PATH"] and seen["LC_TIME"] == "C" and seen["CUDA_VISIBLE_DEVICES"] == ""
    assert seen["TMPDIR"] == pool.workers[0]._folder


def test_patterns_let_through_what_they_name_alone():
    given = {"LC_ALL": "C", "LC": "x", "XLC_ALL": "x", "OMP_NUM_THREADS": "1", "COMP_WORDS": "x", "path": "x"}
    assert confinement.clean_environment(given) == {"LC_ALL": "C", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def test_a_worker_does_not_look_into_other_processes(pool, parts):
    needs(parts, confinement.FILES)
    for pid in (os.getpid(), pool.workers[0]._process.pid):
        assert ask(pool, "of_others", pid).reason == "", pid
    assert "environ" in ask(pool, "of_others", "self").reason, "its own, it may"


def test_a_verdict_can_not_be_written_into_the_channel(pool):
    for _ in range(3):
        found = ask(pool, "forges")
        assert found.score == 0.5 and found.error is None


def test_a_flood_is_one_errored_verdict(pool):
    found = ask(pool, "floods")
    assert found.score is None and f"more than {LONGEST_ANSWER >> 20} MB were written" in found.error
    assert ask(pool, "forges").score == 0.5


@pytest.mark.parametrize("way", ["reason", "error", "raises"])
def test_a_long_reason_is_cut(pool, way):
    found = ask(pool, "talks", way, 7_000_000)  # 21 MB in UTF-8
    text = found.reason if way == "reason" else found.error
    assert LONGEST < len(text) < LONGEST + 200 and "… (7,000," in text
    assert (found.score == 1.0) is (way == "reason")
    whole = ask(pool, "talks", way, LONGEST - 100)
    assert "…" not in (whole.reason or whole.error)


def wait_until_gone(pid):
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline, f"process {pid} outlives its worker"
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["closed", "hang", "killed worker", "killed supervisor"])
def test_nothing_that_a_reward_starts_outlives_its_worker(how):
    pool = WorkerPool(1, timeout_s=3.0)
    try:
        pid = int(ask(pool, "daemon").score)
        supervisor = psutil.Process(pool.workers[0]._process.pid)
        assert psutil.pid_exists(pid) and os.getsid(pid) != supervisor.pid, "it has left the session"
        (worker,) = [one for one in supervisor.children() if one.pid != pid]
        if how == "hang":
            assert "no verdict within 3 s" in ask(pool, "daemon", "hang").error
        elif how == "killed worker":
            worker.kill()
        elif how == "killed supervisor":
            supervisor.kill()
            wait_until_gone(worker.pid)
            assert ask(pool, "forges").score == 0.5
        else:
            pool.close()
        wait_until_gone(pid)
    finally:
        pool.close()


def test_nothing_that_a_reward_starts_outlives_a_killed_parent():
    code = (
        "import sys, time; from rewards.pool import WorkerPool; from rewards.verdict import Sample\n"
        "pool = WorkerPool(1, 100); s = Sample('q', 'x', 'A')\n"
        "print(int(pool.score([s], {sys.argv[1]: 1.0})[0].score), pool.workers[0]._folder, flush=True)\n"
        "time.sleep(1000)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, f"{OWN}:daemon"], stdout=subprocess.PIPE, text=True)
    pid, folder = parent.stdout.readline().split()
    assert psutil.pid_exists(int(pid)) and Path(folder).is_dir()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until_gone(int(pid))
    deadline = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(folder).exists(), "its temporary folder is gone"


def test_writing_is_off_outside_the_temporary_folder(pool, parts, tmp_path):
    needs(parts, confinement.FILES, confinement.CALLS)
    file = tmp_path / "file"
    file.write_text("0.25")
    before = file.stat()
    assert ask(pool, "writes", file).reason == ""
    assert file.read_text() == "0.25" and file.stat().st_mode == before.st_mode
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert ask(pool, "keeps_notes", file).score == 0.25, "it reads, and has a place for its notes"


def test_there_is_no_network_except_when_allowed(pool, parts, tmp_path):
    needs(parts, confinement.CALLS)
    path = f"/tmp/themis-{os.getpid()}.sock"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind(path)
        unix.listen()
        port = tcp.getsockname()[1]
        try:
            assert ask(pool, "connects", port, path).reason == ""
            open_pool = WorkerPool(1, timeout_s=20.0, network=True)
            try:
                assert ask(open_pool, "connects", port, path).reason.endswith("connects: tcp udp unix")
            finally:
                open_pool.close()
        finally:
            os.unlink(path)


def test_no_signal_reaches_a_process_outside(pool, parts):
    needs(parts, confinement.SIGNALS)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    try:
        assert ask(pool, "kills", f"{other.pid} {pool.workers[0]._process.pid}").reason == ""
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_shared_memory_is_its_own(pool, parts):
    needs(parts, confinement.SHARED_MEMORY)
    path = Path(f"/dev/shm/themis-test-{os.getpid()}")
    path.write_text("weights")
    try:
        assert path.name not in ask(pool, "shares").reason
        assert "overwrite" in ask(pool, "writes", path).reason and path.read_text() == "weights"
    finally:
        path.unlink()


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="what is expected here")
def test_this_kernel_refuses_calls(parts):
    assert confinement.CALLS in parts
