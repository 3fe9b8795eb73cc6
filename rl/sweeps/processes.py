"""Runs that go on at the same time, each in a process of its own and so a job of its own on Ray: one that fails or dies
takes no other with it, and its folder is the same as if it had been started alone."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.placement import Resources, fit
from rl.config.quoting import quoted, typed

POLL_S = 0.2
"""Time between two looks at the processes (seconds)."""
ENDS_S = 120.0
"""How long a run that was told to end has, beside the step that it saves (seconds)."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a sweep."""

    folder: Path
    command: tuple[str, ...]
    bundles: tuple[Resources, ...]
    """What it reserves on Ray."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """What it prints, beside its folder."""
        return self.folder.with_name(f"{self.name}.log")


def command(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The command of a run in a folder, of the words that Hydra gives its job."""
    return (sys.executable, "-m", "rl.main", *map(typed, words), f"hydra.run.dir={quoted(str(folder))}")


def start(job: Job, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a run, which gets no signal of the terminal, and SIGTERM when this process ends without a word."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        return subprocess.Popen(
            job.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env=os.environ | environment, start_new_session=True,
            preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )  # fmt: skip


def run_all(
    jobs: Sequence[Job],
    free: Sequence[Resources],
    most: int,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    stop_within_s: float,
    stops: Callable[[Path], bool] = lambda folder: False,
) -> dict[Job, int]:
    """Run all, in order, as many at the same time as there is room for; the exit code of each that was started.

    A run that no node has room for is started when no other is going on, and says itself what is missing.

    Args:
        jobs: the runs.
        free: what each node has for them.
        most: how many may go on at the same time, where there is room for more.
        environment: variables that they get.
        say: told of each start and end.
        stop_within_s: how long a run may take to end its step when this one is interrupted (seconds).
        stops: whether the run in a folder is to end by SIGTERM now, or not to start.
    """
    going, told, codes = dict[Job, tuple[subprocess.Popen[bytes], list[int]]](), set[Job](), dict[Job, int]()
    waiting = [job for job in jobs if not stops(job.folder)]
    try:
        while waiting or going:
            while waiting and len(going) < most:
                left = _left(free, {job: nodes for job, (_, nodes) in going.items()})
                nodes = fit(waiting[0].bundles, left)
                if nodes is None and going:
                    break
                job = waiting.pop(0)
                going[job] = (start(job, environment), nodes or [])
                say(f"{job.name} started · {job.log}")
            for job, (process, _) in list(going.items()):
                code = process.poll()
                if code is None and job not in told and stops(job.folder):
                    told.add(job)
                    process.send_signal(signal.SIGTERM)
                if code is not None:
                    codes[job] = code
                    del going[job]
                    failed = code and job not in told
                    say(f"{job.name} failed with exit code {code} · {job.log}" if failed else f"{job.name} ended")
            time.sleep(POLL_S)
    except BaseException as error:
        sign = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        end([process for process, _ in going.values()], sign, stop_within_s + ENDS_S)
        raise
    return codes


def end(processes: Sequence[subprocess.Popen[bytes]], sign: signal.Signals, within_s: float) -> None:
    """End runs by a signal, and kill those that have not ended in time (seconds)."""
    for process in processes:
        process.send_signal(sign)
    until = time.monotonic() + within_s
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _left(free: Sequence[Resources], going: Mapping[Job, Sequence[int]]) -> list[dict[str, float]]:
    """What each node has left beside the runs that are going on, of whose bundles the nodes are given."""
    left = [dict(one) for one in free]
    for job, nodes in going.items():
        for bundle, number in zip(job.bundles, nodes, strict=False):  # none for one that had no room
            for name, amount in bundle.items():
                left[number][name] = left[number].get(name, 0) - amount
    return left
