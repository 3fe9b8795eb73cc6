"""Runs of the real command line in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cluster.processes import remaining
from tools.chaos.compare import metric_lines as metrics

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate_size": 128}
"""Of the model of a small run, a tenth of the nano model: what a run costs is then its start."""


def command(run_dir: Path, *overrides: str) -> list[str]:
    """The command of a small run, of the smoke curriculum unless another one is given."""
    if not any(override.startswith("+curriculum=") for override in overrides):
        overrides = ("+curriculum=smoke", *overrides)
    quiet = ["cluster.dashboard=false", "trainer.checkpoint_every=2"]
    if not any(override.startswith("tracker.wandb=") for override in overrides):
        quiet.append("tracker.wandb=disabled")
    sizes = [f"model.nano.{name}={size}" for name, size in SIZES.items()]
    return [sys.executable, "-m", "rl.main", *quiet, *sizes, f"run_dir={run_dir}", *overrides]


def start(run_dir: Path, *overrides: str, given: dict[str, str] | None = None) -> subprocess.Popen:
    """Start a run and go on. ``given`` are further variables of its environment."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    with (run_dir.parent / f"{run_dir.name}.log").open("a") as log:
        # Tests in the background ignore SIGINT, under nohup SIGHUP, and hand that down; a run at a terminal does not.
        return subprocess.Popen(
            command(run_dir, *overrides),
            cwd=ROOT,
            env=os.environ | (given or {}),
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)],
        )


def finish(run_dir: Path, *overrides: str, timeout: float = 300, given: dict[str, str] | None = None) -> str:
    """Run to the end; returns what was printed."""
    process = start(run_dir, *overrides, given=given)
    code = process.wait(timeout)
    printed = (run_dir.parent / f"{run_dir.name}.log").read_text()
    assert code == 0, printed[-4000:]
    return printed


def fail(run_dir: Path, *overrides: str, timeout: float = 120) -> str:
    """Run something that must be refused; returns the error."""
    answer = subprocess.run(command(run_dir, *overrides), cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert answer.returncode == 2, (answer.returncode, answer.stdout[-2000:], answer.stderr[-2000:])
    assert "Traceback" not in answer.stderr
    return answer.stderr


def wait_for(run_dir: Path, stage: str, step: int, process: subprocess.Popen, timeout: float = 600) -> None:
    """Wait until a run has logged a step of a stage."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if any(line["stage"] == stage and line["step"] >= step for line in metrics(run_dir)):
            return
        assert process.poll() is None, (run_dir.parent / f"{run_dir.name}.log").read_text()[-4000:]
        time.sleep(0.05)
    raise AssertionError(f"{stage} step {step} was not reached")


def kill(pid: int) -> None:
    """End a process as a crash would."""
    os.kill(pid, signal.SIGKILL)


def actor_pids(pattern: str, driver: int) -> list[int]:
    """Processes of Ray actors of a class, under a driver."""
    import psutil

    family = psutil.Process(driver).children(recursive=True)
    return [process.pid for process in family if pattern in " ".join(process.cmdline()[:1])]


def left_over(family: list[Any], timeout: float = 20) -> list[Any]:
    """Which of these processes are still there after a while."""
    return remaining(family, timeout)
