"""Runs at the same time, with small programs in their place."""

import json
import os
import signal
import sys
import threading
import time
from itertools import pairwise

import pytest

from rl.sweeps.processes import Job, run_all

PROGRAM = """
import json, pathlib, signal, sys, time
place, others, code = pathlib.Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
began = time.monotonic()
def end(number, frame):
    (place.parent / f"{place.name}.signal").write_text(str(number))
    sys.exit(0 if code == 99 else code)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
(place.parent / f"{place.name}.ready").touch()
while not all((place.parent / f"{other}.ready").exists() for other in others if other):
    time.sleep(0.01)
while code == 99:
    time.sleep(0.01)
place.write_text(json.dumps([began, time.monotonic()]))
print("done")
sys.exit(code)
"""


@pytest.fixture
def job(tmp_path):
    """Makes a run that waits until some others have begun, and ends with a code; with 99 only by a signal."""

    def make(name, waits_for="", code=0, cpus=1):
        command = (sys.executable, "-S", "-c", PROGRAM, str(tmp_path / name), waits_for, str(code))
        return Job(tmp_path / name, command, ({"CPU": 1.0},) * cpus)

    return make


def test_as_many_run_as_there_is_room_for_and_one_that_fails_ends_no_other(job, tmp_path):
    jobs = [job("a", "b"), job("b", "a", code=3), job("c"), job("d", cpus=2), job("e", cpus=5)]
    said = []
    codes = run_all(jobs, [{"CPU": 1.0}, {"CPU": 1.0}], 9, {}, said.append, 0.0)
    assert {one.name: code for one, code in codes.items()} == {"a": 0, "b": 3, "c": 0, "d": 0, "e": 0}
    spans = {name: json.loads((tmp_path / name).read_text()) for name in "abcde"}
    assert all(sum(start <= at < end for start, end in spans.values()) <= 2 for at, _ in spans.values())
    for alone in "de":  # two CPUs; and more than there are, which the run itself says
        assert all(one == alone or end <= spans[alone][0] or start >= spans[alone][1]
                   for one, (start, end) in spans.items())  # fmt: skip
    assert (tmp_path / "a.log").read_text() == "done\n"
    assert f"b failed with exit code 3 · {tmp_path / 'b.log'}" in said and "a ended" in said


def test_no_more_run_than_are_wanted(job, tmp_path):
    run_all([job(name) for name in "abc"], [{"CPU": 64.0}], 1, {}, lambda text: None, 0.0)
    spans = sorted(json.loads((tmp_path / name).read_text()) for name in "abc")
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_ends_all_and_starts_no_other(job, tmp_path, number, error):
    def leave(*_):
        raise error

    def send():
        while not all((tmp_path / f"{name}.ready").exists() for name in "ab"):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    before = signal.signal(number, leave)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(error):
            run_all([job(name, code=99) for name in "abc"], [{"CPU": 2.0}], 9, {}, lambda text: None, 300.0)
    finally:
        thread.join()
        signal.signal(number, before)
    assert [(tmp_path / f"{name}.signal").read_text() for name in "ab"] == [str(int(number))] * 2
    assert not (tmp_path / "c.ready").exists() and not (tmp_path / "a").exists()


def test_one_that_does_not_end_is_killed(job, tmp_path, monkeypatch):
    monkeypatch.setattr("rl.sweeps.processes.ENDS_S", 0.0)
    code = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(1e9)"
    deaf = Job(tmp_path / "a", (sys.executable, "-S", "-c", code, str(tmp_path / "ready")), ())

    def say(text):
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        raise SystemExit

    with pytest.raises(SystemExit):
        run_all([deaf], [], 1, {}, say, 0.0)


def test_one_that_is_to_stop_ends_by_sigterm_and_has_not_failed(job, tmp_path):
    said = []

    def stops(folder):
        return folder.name == "b" or (folder.name == "a" and (tmp_path / "a.ready").exists())

    codes = run_all([job("a", code=99), job("b"), job("c")], [{"CPU": 9.0}], 9, {}, said.append, 0.0, stops)
    assert {one.name for one in codes} == {"a", "c"}, "b was stopped before"
    assert (tmp_path / "a.signal").read_text() == str(int(signal.SIGTERM)) and "a ended" in said
