"""Processes that end with the one that started them, even when that one is killed, and with all that they started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
GRACE_S = 8.0
"""How long a command has to end by itself when its parent has ended (seconds)."""
TRACKER_S = 5.0
"""How long the removal of shared memory may take (seconds)."""
_WAKING = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD}


def die_with_parent(sign: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux to send this process a signal when the thread that started it ends. It holds across ``exec``."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, sign)


def supervised(parent: int, channel: int | None = None, folder: str | None = None, grace_s: float = 0.0) -> None:
    """Go on in a child process that a supervisor, this one, watches over; returns in the child.

    The supervisor never runs a reward. When the child ends, or the process ``parent`` does, or SIGTERM comes, it kills
    the child and everything that the child started, also what has left its session, deletes ``folder``, and exits: with
    the child's status, or with 128 + the number of the signal that killed it. It closes its copy of the descriptor
    ``channel``. A child has ``grace_s`` seconds to end by SIGTERM before it is killed.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
    die_with_parent(signal.SIGTERM)
    supervisor = os.getpid()
    if os.getppid() != parent:  # it ended before it could be watched
        _remove(folder)
        os._exit(0)
    child = os.fork()
    if child == 0:
        die_with_parent()
        if os.getppid() != supervisor:
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAKING)
        return
    if channel is not None:
        os.close(channel)
    status = _watch(child, grace_s)
    _remove(folder)
    os._exit(status if status >= 0 else 128 - status)


def _remove(folder: str | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _watch(child: int, grace_s: float) -> int:
    """Wait for the child's end or a signal to end it, and kill all that is left; the child's exit code."""
    code: int | None = None
    until = None
    while code is None and (until is None or time.monotonic() < until):
        came = signal.sigtimedwait(_WAKING, 3600 if until is None else max(0.0, until - time.monotonic()))
        if came is not None and came.si_signo != signal.SIGCHLD and until is None:
            os.kill(child, signal.SIGTERM)
            until = time.monotonic() + grace_s
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    code = os.waitstatus_to_exitcode(ended[1])
    until = time.monotonic() + TRACKER_S
    with contextlib.suppress(ChildProcessError):  # orphans come to their subreaper, until none is left
        while True:
            for one in children(os.getpid()):
                if time.monotonic() > until or not _tracks(one):
                    os.kill(one, signal.SIGKILL)
            ended = os.waitpid(-1, os.WNOHANG)
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
            if not ended[0]:
                time.sleep(0.01)
    return -signal.SIGKILL if code is None else code


def _tracks(pid: int) -> bool:
    """Whether a process is one of those in which Python removes shared memory after its users, and then ends itself."""
    with contextlib.suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def children(pid: int) -> list[int]:
    """The child processes of a process; none if it is gone."""
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [int(one) for one in (thread / "children").read_text().split()]
    return found


def frozen(pid: int) -> bool:
    """Whether a process or one of its children was stopped by a signal."""
    for one in (pid, *children(pid)):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{one}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "Tt":
                return True
    return False


def kill_marked(mark: str) -> None:
    """Kill every process that was started with a text in its environment: what a killed supervisor left behind."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (place / "environ").read_bytes():
                os.kill(int(place.name), signal.SIGKILL)


def main() -> None:
    """``python -m rewards.lifetime PARENT COMMAND…``: run that command, which ends with the process PARENT."""
    supervised(int(sys.argv[1]), grace_s=GRACE_S)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
