"""Which process something belongs to, in words that no other process ever gets, and whether that process still runs.

A pid alone is given again, after a reboot even soon. So a process is named by its host, the boot of its kernel, its
pid namespace (containers on one machine count from 1 each), its pid, and the moment at which it started.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

PATTERN = r"([0-9a-f]{8})-([0-9a-f]{8})-([0-9]{1,20})-([0-9]{1,10})-([0-9]{1,20})"
"""Of :attr:`Process.text`."""
State = Literal["living", "gone", "elsewhere"]


@dataclass(frozen=True)
class Process:
    """One process of one machine."""

    host: str
    """8 hexadecimal digits of the host's name."""
    boot: str
    """8 hexadecimal digits of the boot of its kernel."""
    space: int
    """Its pid namespace."""
    pid: int
    started: int
    """Clock ticks from the boot to its start."""

    @property
    def text(self) -> str:
        """All of it, fit for a file name."""
        return f"{self.host}-{self.boot}-{self.space}-{self.pid}-{self.started}"

    def state(self) -> State:
        """Whether it runs; ``elsewhere`` if only another machine, or another container, can know."""
        host, boot, space = _machine()
        if self.boot != boot:
            return "gone" if self.host == host else "elsewhere"
        if self.space != space:
            return "elsewhere"
        return "living" if _started(self.pid) == self.started else "gone"


def this_process() -> Process:
    """The process that asks."""
    host, boot, space = _machine()
    return Process(host, boot, space, os.getpid(), _started(os.getpid()) or 0)


def parse(text: str) -> Process | None:
    """The process of a :attr:`Process.text`; None for another text."""
    found = re.fullmatch(PATTERN, text)
    return None if found is None else Process(found[1], found[2], int(found[3]), int(found[4]), int(found[5]))


def same_kernel(process: Process) -> bool:
    """Whether a process is, or was, one of this machine since it booted, in whatever container."""
    return process.boot == _machine()[1]


@cache
def _machine() -> tuple[str, str, int]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return _short(socket.gethostname()), _short(boot), os.stat("/proc/self/ns/pid").st_ino


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def _started(pid: int) -> int | None:
    """Start of a process (clock ticks since the boot); None if it does not run or has ended and waits for its
    parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # the name may hold anything
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
