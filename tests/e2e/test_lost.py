"""A run loses Ray itself, then frozen actors. It says so, goes on, and ends as if nothing had been."""

import os
import signal
import time

import psutil

from cluster.processes import known, look
from rl.records.losses import read_losses
from rl.records.status import read_status
from tests.e2e.runs import actor_pids, left_over, metrics, start, wait_for
from tools.doctor import main

SHORT = ("cluster.frozen_s=2",)


def freeze(pids):
    """Stop processes; returns them once the kernel says so."""
    assert pids
    found = [known(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    while any(look(pid)[0] != "T" for pid in pids):
        time.sleep(0.01)
    return found


def lose(run_dir, name, stage, step):
    """Kill one of Ray's own processes in the middle of a run, which must end with a sentence."""
    log = run_dir.parent / f"{run_dir.name}.log"
    process = start(run_dir, *SHORT)
    wait_for(run_dir, stage, step, process)
    family = psutil.Process(process.pid).children(recursive=True)
    victim = next(one for one in family if one.name() == name)
    victim.kill()
    assert process.wait(300) == 1, log.read_text()[-4000:]
    printed = log.read_text()
    assert printed.rstrip().endswith(
        f"error: Ray was lost: its {name} (pid {victim.pid}) died. The same command goes on from what was saved"
    )
    assert "Traceback" not in printed
    assert f"its {name} (pid {victim.pid}) died" in (run_dir / "post-mortem.html").read_text()
    assert not left_over(family)
    assert main([str(run_dir)]) == 1
    log.unlink()


def test_ray_and_frozen_actors_are_lost_and_nothing_else(tmp_path, unbroken):
    run_dir = tmp_path / "run"
    lose(run_dir, "raylet", "mid", 1)
    lose(run_dir, "gcs_server", "sft", 9)
    process = start(run_dir, *SHORT)
    wait_for(run_dir, "sft", 21, process)
    frozen = freeze(actor_pids("TrainerActor", process.pid))
    wait_for(run_dir, "grpo", 0, process)
    for name in ("RewardActor", "RolloutActor"):
        frozen += freeze(actor_pids(name, process.pid))
    assert process.wait(600) == 0, (tmp_path / "run.log").read_text()[-4000:]
    assert [one.state() for one in frozen] == [None] * 3, "none is left stopped"
    losses = read_losses(run_dir)
    assert [loss["who"] for loss in losses[:2]] == ["Ray", "Ray"]
    assert {loss["who"]: loss["pid"] for loss in losses[2:]} == dict(
        zip(("trainer/0", "reward/0", "rollout/0"), [one.pid for one in frozen], strict=True)
    )
    assert all("was stopped by a signal" in loss["why"] for loss in losses[2:])
    assert all(loss["lost"].startswith("nothing") for loss in losses) and losses[2]["stage"] == "sft"
    assert "trainer/0 was stopped by a signal" in (tmp_path / "run.log").read_text()
    assert 'id="losses"' in (run_dir / "report.html").read_text()
    assert read_status(run_dir)["ended"] == "" and main([str(run_dir)]) == 0
    assert metrics(run_dir) == metrics(unbroken[0])
