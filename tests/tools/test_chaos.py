"""The harness of faults: what it draws, what its faults do to a process, what it finds, and a short campaign."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tools.chaos import clock
from tools.chaos.__main__ import read_series
from tools.chaos.campaign import Outcome
from tools.chaos.compare import differences, differences_so_far, ledger, tracebacks
from tools.chaos.faults import hit
from tools.chaos.plan import ENDS, KINDS, MOST_ENDS, MOST_SAME, Fault, campaign, in_order, short
from tools.chaos.summary import record
from tools.chaos.variants import STALENESS, Variant, places, policy_stage

ROOT = Path(__file__).resolve().parents[2]
PLAIN = Variant("periodic", 2)


def test_a_seed_gives_the_same_faults_and_many_give_every_kind_and_victim():
    drawn = [campaign(7, number, list(KINDS)) for number in range(300)]
    assert drawn == [campaign(7, number, list(KINDS)) for number in range(300)]
    assert drawn[0] != campaign(8, 0, list(KINDS))
    pairs = {(fault.kind, fault.victim) for one in drawn for fault in one.faults}
    assert pairs >= {(kind, victim) for kind, (_, victims) in KINDS.items() for victim in victims}
    assert {("kill", "trainer/1"), ("kill", "judge server")} <= pairs
    assert len({one.variant for one in drawn}) == 12, (
        "each mode, with one and two ranks, with and without a served judge"
    )
    for one in drawn:
        hits = Counter(fault.victim for fault in one.faults)
        assert sum(hits[victim] for victim in ENDS) <= MOST_ENDS + 1
        assert all(count <= MOST_SAME for victim, count in hits.items() if victim not in ENDS)
    assert {fault.kind for fault in campaign(7, 0, ["kill"]).faults} == {"kill"}
    assert {campaign(7, number, ["kill"], ["driver"], ["async"], [2], 0).variant for number in range(9)} == {
        Variant("async", 2)
    }


def test_the_short_form_hits_the_stages_that_it_says():
    assert [fault.victim for fault in short(1).faults][:2] == ["raylet", "trainer/1"] and short(1) != short(2)
    for fault, stage in zip(short(1).faults, ("mid", "sft", "grpo"), strict=True):
        assert places()[fault.line][0] == stage


def test_a_series_can_be_continued(tmp_path):
    done = [Outcome(fault, "none-1", 4, pid=7, recovered_s=1.5, told=True) for fault in short(1).faults]
    written = {"seed": 3, "seconds": 9.0, "faults": [record(one) for one in done], "lost": {"4": ["a line"]}}
    (tmp_path / "chaos.json").write_text(json.dumps(written))
    assert read_series(tmp_path, 3) == (done, {4: ["a line"]}, 9.0)
    with pytest.raises(SystemExit, match="is of --seed 3, not 4"):
        read_series(tmp_path, 4)
    with pytest.raises(SystemExit, match="--go-on needs the file"):
        read_series(tmp_path / "other", 3)


def test_faults_come_in_the_order_of_their_lines_with_those_at_a_start_behind_the_end():
    late, early = Fault("kill", "driver", 9, 0, 1), Fault("kill", "rollout/0", 2, 0, 1)
    after = Fault("kill", "raylet", 1, 0, 1, at_start=True)
    assert in_order([late, after, early]) == (early, late, after)
    assert after.text() == "kill raylet, at the next start + 0.00 s"
    assert late.text() == "kill driver, after line 9 (towards sft step 4) + 0.00 s"


def test_each_traceback_is_told_by_its_error_whatever_stands_between():
    printed = """(RewardActor pid=12) Traceback (most recent call last):
(RewardActor pid=12)   File "worker.py", line 3, in run
[2026-11-27 04:00:00,000 E 1 2] rpc_client.h:203: Failed to connect to GCS.
(RewardActor pid=12) ray.exceptions.RayError: gone
Error: the disk is full
Traceback (most recent call last):
  File "main.py", line 9
"""
    assert tracebacks(printed) == ["ray.exceptions.RayError: gone", "its end was not printed"]
    assert tracebacks("[2026-11-27 04:00:00] rpc_client.h:203: Failed to connect to GCS.\nError: Ray was lost\n") == []


@pytest.fixture
def victim():
    """A process that answers each line by whether it could open a file and take 64 MB."""
    code = (
        "import sys\nheld = []\n"
        "for _ in sys.stdin:\n"
        "    try:\n        open('/dev/null').close(); bytearray(1 << 26); print('fine', flush=True)\n"
        "    except (OSError, MemoryError) as error:\n        print(type(error).__name__, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask():
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    process.ask = ask
    assert ask() == "fine"
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(("kind", "while_it_lasts"), [("memory", "MemoryError"), ("files", "fine")])
def test_limits_hold_until_they_are_lifted(victim, kind, while_it_lasts):
    lasts, undo = hit(Fault(kind, "driver", 0, 0, 3.0), victim.pid, None)
    assert lasts == 3.0 and victim.ask() == while_it_lasts
    if kind == "files":  # it may open a few more
        soft = psutil.Process(victim.pid).rlimit(psutil.RLIMIT_NOFILE)[0]
        assert soft < 20
    undo()
    assert victim.ask() == "fine" and psutil.Process(victim.pid).rlimit(psutil.RLIMIT_NOFILE)[0] > 20


def test_a_paused_process_goes_on_and_a_killed_one_does_not(victim):
    _, undo = hit(Fault("pause", "driver", 0, 0, 3.0), victim.pid, None)
    os.waitid(os.P_PID, victim.pid, os.WSTOPPED)
    assert psutil.Process(victim.pid).status() == psutil.STATUS_STOPPED
    undo()
    assert victim.ask() == "fine"
    hit(Fault("kill", "driver", 0, 0, 3.0), victim.pid, None)
    assert victim.wait() == -signal.SIGKILL


@pytest.mark.skipif(clock.compiler() is None, reason="no C compiler")
def test_the_clock_of_python_jumps_and_comes_back(tmp_path):
    code = "import time, sys\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    environment = os.environ | clock.environment(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def read():
            process.stdin.write("\n")
            process.stdin.flush()
            wall, monotonic = map(float, process.stdout.readline().split())
            return wall - monotonic

        first = read()
        clock.jump(tmp_path, clock.JUMP_S)
        assert read() - first == pytest.approx(clock.JUMP_S, abs=60)
        clock.jump(tmp_path, -clock.JUMP_S)
        assert read() - first == pytest.approx(-clock.JUMP_S, abs=60)
        process.stdin.close()


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The short form: three kills in one run."""
    out = tmp_path_factory.mktemp("chaos")
    answer = subprocess.run(
        [sys.executable, "-m", "tools.chaos", "--short", "--seed", "5", "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    return out, answer


@pytest.mark.slow  # a campaign is some runs: four minutes
@pytest.mark.timeout(1300)
def test_a_short_campaign_loses_nothing(tried):
    out, answer = tried
    written = json.loads((out / "chaos.json").read_text())
    log = "".join(path.read_text() for path in out.glob("campaign-*.log"))
    assert answer.returncode == 0 and not written["lost"], answer.stdout + answer.stderr + log[-4000:]
    hit = [one["fault"]["victim"] for one in written["faults"]]
    assert len(hit) >= 2, "on a fast machine the run may end before the last"
    assert (
        all(one["survived"] for one in written["faults"])
        and written["seed"] == 5
        and "slowest recovery" in answer.stdout
    )


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_what_is_lost_is_found(tried, tmp_path):
    unbroken = tried[0] / "unbroken-periodic-2" / "run"
    assert differences(unbroken, unbroken, PLAIN) == []

    def changed(change):
        run_dir = tmp_path / "run"
        shutil.rmtree(run_dir, ignore_errors=True)
        shutil.copytree(unbroken, run_dir)
        change(run_dir)
        return differences(run_dir, unbroken, PLAIN)

    lines = (unbroken / "metrics.jsonl").read_text().splitlines(keepends=True)

    def without_a_line(run_dir):
        (run_dir / "metrics.jsonl").write_text("".join(lines[:7] + lines[8:]))
        assert "has the lines" in differences_so_far(run_dir, unbroken, PLAIN)[0]

    assert "metrics.jsonl has 24 lines, not 25" in changed(without_a_line)
    other = json.dumps(json.loads(lines[5]) | {"loss": 1.0}) + "\n"
    assert changed(
        lambda run_dir: (run_dir / "metrics.jsonl").write_text("".join([*lines[:5], other, *lines[6:]]))
    ) == ["metrics.jsonl: sft step 0 differs in loss"]
    assert changed(lambda run_dir: next((run_dir / "rollouts" / "grpo").iterdir()).unlink())[0].startswith("rollouts: ")
    assert changed(lambda run_dir: (run_dir / "results.json").write_text("[]")) == ["results.json differs"]
    assert changed(lambda run_dir: (run_dir / "results.json.partial").write_text("")) == [
        "results.json.partial was left in the run folder"
    ]
    weights = Path("exports", "sft", "model.safetensors")
    assert changed(lambda run_dir: (run_dir / weights).write_bytes(b"")) == ["exports/sft holds other weights"]


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_the_ledger_counts_every_group(tried, tmp_path):
    shutil.copytree(tried[0] / "unbroken-periodic-2" / "run", tmp_path / "run")
    assert ledger(tmp_path / "run") == []
    (tmp_path / "run" / "rollouts" / "grpo" / "step-000007.parquet").unlink()
    assert ledger(tmp_path / "run")[0] == "group 28 has 0 completions, not 4"
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"staleness_max": 0.0', f'"staleness_max": {STALENESS + 1}.0', 1))
    assert "more than 2" in ledger(tmp_path / "run")[-1]
    assert policy_stage().steps == 8 and len(places()) == 25
