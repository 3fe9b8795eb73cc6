"""What other machines and other users see of a process and its descendants: their sockets and command lines."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil

from cluster.loopback import is_loopback


@dataclass(frozen=True)
class Listening:
    """A TCP or UDP socket that takes connections or packets."""

    pid: int
    program: str
    address: str
    port: int


def family(pid: int) -> Iterator[psutil.Process]:
    """A process and its descendants."""
    yield psutil.Process(pid)
    yield from psutil.Process(pid).children(recursive=True)


def listening(pid: int) -> list[Listening]:
    """The sockets of a process and its descendants."""
    found = []
    for one in family(pid):
        with suppress(psutil.NoSuchProcess):
            for socket in one.net_connections("inet"):
                if socket.status == psutil.CONN_LISTEN or (socket.status == psutil.CONN_NONE and not socket.raddr):
                    found.append(Listening(one.pid, one.name(), socket.laddr.ip, socket.laddr.port))
    return found


def open_to_others(pid: int) -> list[Listening]:
    """Those of them that other machines reach."""
    return [one for one in listening(pid) if not is_loopback(one.address)]


def command_lines(pid: int) -> list[str]:
    """The command lines of a process and its descendants."""
    found = []
    for one in family(pid):
        with suppress(psutil.NoSuchProcess):
            found.append(" ".join(one.cmdline()))
    return found
