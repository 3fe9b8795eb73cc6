"""A worker that is lost, whatever it was doing, is replaced, and the verdicts are those of an unbroken pool."""

import signal
import threading
import time

import psutil
import pytest

from rewards.pool import STARTS, WorkerPool
from rewards.verdict import Sample, Verdict
from tests.rewards import misbehaving

SLOW = {f"{misbehaving.__name__}:slow": 1.0}
RULES = {"accuracy": 1.0, "format": 0.5}
SAMPLES = [Sample("问", f"<think>理</think><answer>{one}</answer>", "A", "choice") for one in "ABCABC"]


def processes(pool):
    """The supervisor and the process that scores, of the only worker."""
    supervisor = psutil.Process(pool.workers[0]._process.pid)
    return supervisor, supervisor.children()[0]


@pytest.fixture
def pool():
    found = WorkerPool(1, timeout_s=3.0)
    yield found
    found.close()


@pytest.fixture(scope="module")
def unbroken():
    pool = WorkerPool(1)
    try:
        return pool.score(SAMPLES, RULES)
    finally:
        pool.close()


@pytest.mark.parametrize("which", [0, 1], ids=["supervisor", "worker"])
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_dies_while_idle_is_replaced(pool, unbroken, which, sign, caplog):
    assert pool.score(SAMPLES, RULES) == unbroken
    processes(pool)[which].send_signal(sign)
    time.sleep(0.1)
    assert pool.score(SAMPLES, RULES) == unbroken, "asked for the same rewards"
    processes(pool)[which].send_signal(sign)
    assert pool.score([Sample("问", "1.5", "")], SLOW) == [Verdict(1.5, parts=dict.fromkeys(SLOW, 1.5))], "for others"
    processes(pool)[which].send_signal(sign)
    pool.check(RULES)
    assert pool.score(SAMPLES, RULES) == unbroken
    assert sum("is replaced" in one for one in caplog.messages) == 3, "each loss is told"


def test_a_loss_while_idle_is_no_try_of_the_next_sample(pool, caplog):
    pool.score(SAMPLES, RULES)
    processes(pool)[0].kill()
    time.sleep(0.1)
    pool.check(RULES)
    assert [one for one in caplog.messages if "while idle" in one] == caplog.messages != []


def test_a_worker_that_dies_at_work_costs_nothing(pool):
    """Three workers are killed in the middle of samples of 50 ms."""
    killed = []

    def kill():
        while len(killed) < 3:
            worker = pool.workers[0]
            if worker._parts is not None and worker._process.pid not in killed:
                time.sleep(0.12)
                killed.append(worker._process.pid)
                processes(pool)[1].kill()
            time.sleep(0.005)

    killer = threading.Thread(target=kill)
    killer.start()
    found = pool.score([Sample("问", str(one), "") for one in range(40)], SLOW)
    killer.join()
    assert [(one.score, one.error) for one in found] == [(float(one), None) for one in range(40)]


@pytest.mark.parametrize("idle", [True, False])
def test_a_frozen_worker_costs_nothing(idle):
    pool = WorkerPool(1, timeout_s=1.0)
    try:
        samples = [Sample("问", str(one), "") for one in range(10)]
        pool.score(samples[:1], SLOW)
        frozen = processes(pool)[1]
        timer = threading.Timer(0.0 if idle else 0.13, frozen.suspend)
        timer.start()
        if idle:
            timer.join()
        assert [one.score for one in pool.score(samples, SLOW)] == [float(one) for one in range(10)]
        assert not frozen.is_running(), "it is ended, not left stopped"
    finally:
        pool.close()


def test_a_large_sample_does_not_wait_for_a_frozen_worker():
    pool = WorkerPool(1, timeout_s=1.0)
    try:
        long = [Sample("问", "<answer>A</answer>" + "长" * 3_000_000, "A", "choice")]
        before = pool.score(long, RULES)
        processes(pool)[1].suspend()
        assert pool.score(long, RULES) == before and before[0].error is None
    finally:
        pool.close()


def test_a_frozen_supervisor_is_ended_too(pool):
    pool.score(SAMPLES, RULES)
    both = processes(pool)
    both[0].suspend()
    pool.close()
    assert not any(one.is_running() for one in both)


@pytest.mark.parametrize("which", ["supervisor", "worker"])
def test_a_worker_that_dies_once_at_its_start_is_replaced(pool, unbroken, which):
    def kill():
        while True:
            process = pool.workers[0]._process
            if process is not None and (which == "supervisor" or psutil.Process(process.pid).children()):
                (psutil.Process(process.pid) if which == "supervisor" else processes(pool)[1]).kill()
                return
            time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    found = pool.score(SAMPLES, RULES)
    killer.join()
    assert found == unbroken


def test_workers_that_never_start_are_an_error(pool, tmp_path, monkeypatch):
    """A module that ends every worker that imports it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ends_workers.py").write_text(
        "import os\nif 'themis-reward-' in os.environ.get('TMPDIR', ''):\n    os._exit(5)\ndef f(sample): return 1.0\n"
    )
    message = rf"ends_workers:f could not start, {STARTS} times in a row: the worker died \(exit status 5\)"
    with pytest.raises(ValueError, match=message):
        pool.score(SAMPLES, {"ends_workers:f": 1.0})
    assert pool.score(SAMPLES[:1], RULES)[0].score == 1.5, "the pool itself is well"


def test_a_reward_that_ends_its_process_is_tried_twice_and_no_more(pool):
    (found,) = pool.score([Sample("问", "crash", "A")], {f"{misbehaving.__name__}:badly": 1.0})
    assert found.score is None and "the worker died (exit status 7)" in found.error
    (found,) = pool.score([Sample("问", "signal", "A")], {f"{misbehaving.__name__}:badly": 1.0})
    assert "exit status -11" in found.error and "raise reward.memory_mb" in found.error
