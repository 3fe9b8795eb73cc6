"""Doing a fault to a process or to a place, and undoing it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tools.chaos import clock
from tools.chaos.plan import Fault
from tools.chaos.sandbox import SHARED_MEMORY, fill, make_read_only
from tools.chaos.system import System

Undo = Callable[[], None]
NEW_FILES = 2
"""Files that a process may still open when its limit is set."""
NEW_BYTES = 1 << 20
"""Address space that a process may still take when its limit is set."""


def hit(fault: Fault, pid: int, system: System) -> tuple[float | None, Undo]:
    """Do a fault to a process.

    Returns:
        After how many seconds it is to be undone (None: when the command has ended), and how.
    """
    if fault.kind in ("kill", "term"):
        _send(pid, signal.SIGKILL if fault.kind == "kill" else signal.SIGTERM)
    elif fault.kind == "hangup":
        os.killpg(pid, signal.SIGHUP)
    elif fault.kind == "ctrl-c":
        os.killpg(pid, signal.SIGINT)
        time.sleep(fault.hold_s / 10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGINT)
    elif fault.kind == "pause":
        _send(pid, signal.SIGSTOP)
        return fault.hold_s, lambda: _send(pid, signal.SIGCONT)
    elif fault.kind == "freeze":
        _send(pid, signal.SIGSTOP)
    elif fault.kind == "slow":
        return fault.hold_s, _slow(pid)
    elif fault.kind == "files":
        return fault.hold_s, _limited(pid, resource.RLIMIT_NOFILE, _highest_file(pid) + 1 + NEW_FILES)
    elif fault.kind == "memory":
        return fault.hold_s, _limited(pid, resource.RLIMIT_AS, psutil.Process(pid).memory_info().vms + NEW_BYTES)
    elif fault.kind == "disk":
        return None, fill(system.run_dir.parent)
    elif fault.kind == "read-only":
        return None, make_read_only(system.run_dir)
    elif fault.kind == "shm":
        return None, fill(SHARED_MEMORY)
    elif fault.kind == "clock":
        clock.jump(system.run_dir.parent, clock.JUMP_S if fault.hold_s > 6 else -clock.JUMP_S)
    return 0.0, lambda: None


def _send(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


def _slow(pid: int) -> Undo:
    """Let a process run a tenth of the time."""
    over = threading.Event()

    def turns() -> None:
        while not over.is_set():
            _send(pid, signal.SIGSTOP)
            over.wait(0.45)
            _send(pid, signal.SIGCONT)
            over.wait(0.05)

    thread = threading.Thread(target=turns, daemon=True)
    thread.start()

    def undo() -> None:
        over.set()
        thread.join()

    return undo


def _limited(pid: int, what: int, most: int) -> Undo:
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (min(most, before[1]) if before[1] >= 0 else most, before[1]))

    def undo() -> None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, what, before)

    return undo


def _highest_file(pid: int) -> int:
    with contextlib.suppress(OSError):
        return max(int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir())
    return 0
