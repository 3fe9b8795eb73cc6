"""Processes of the machine that asks: whether one runs or is frozen, and the end of one. Nothing here needs Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

STOPPED = "T"
"""The state of a process that a signal has stopped. One that a debugger has stopped (t) is left alone."""
GRACE_S = 5.0
"""How long a process that was told to end has before it is killed (seconds)."""


@dataclass(frozen=True)
class Known:
    """A process that can be told from a later one with the same pid."""

    pid: int
    started: int
    """Clock ticks from the boot to its start."""

    def state(self) -> str | None:
        """Its state as in ``ps``; None if it is gone."""
        found = look(self.pid)
        return found[0] if found and found[1] == self.started else None

    def kill(self) -> None:
        """End it at once."""
        if self.state() is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def look(pid: int) -> tuple[str, int] | None:
    """State of a process, and its start (clock ticks since the boot); None if it does not run, or has ended and waits
    for its parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # the name may hold anything
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else (fields[0].decode(), int(fields[19]))


def known(pid: int) -> Known | None:
    """The process that has a pid now; None if there is none."""
    found = look(pid)
    return found and Known(pid, found[1])


def family(pid: int) -> Iterator[Known]:
    """A process and all that it started, as far as they run."""
    one = known(pid)
    if one is not None:
        yield one
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from family(int(child))


def stopped(pids: Sequence[int]) -> dict[int, tuple[Known | None, list[Known]]]:
    """By pid: the process, None if it is gone, and those of its family that a signal has stopped."""
    return {pid: (known(pid), [one for one in family(pid) if one.state() == STOPPED]) for pid in pids}


def end(some: Sequence[Known], grace_s: float = GRACE_S) -> None:
    """End processes that were told to end: one that is frozen, or does not go by itself, is killed, and with it what
    it started and is frozen too."""
    frozen = [child for one in some if one.state() for child in family(one.pid) if child.state() == STOPPED]
    until = time.monotonic() + grace_s
    while any(one.state() not in (None, STOPPED) for one in some) and time.monotonic() < until:
        time.sleep(0.02)
    for one in (*some, *frozen):
        one.kill()
    until = time.monotonic() + GRACE_S
    while any(one.state() for one in (*some, *frozen)) and time.monotonic() < until:
        time.sleep(0.02)  # the kernel takes a moment


def remaining(processes: Iterable[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Which of these still run once all have ended, or the time is over.

    psutil's ``wait_procs`` alone fails where Linux answers ENOENT for a process that is just ending.
    """
    some, until = list(processes), time.monotonic() + within_s
    while (left := until - time.monotonic()) > 0:
        with contextlib.suppress(FileNotFoundError):
            return list(psutil.wait_procs(some, timeout=left)[1])
        time.sleep(0.02)
    return [one for one in some if one.is_running()]
