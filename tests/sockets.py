"""What a process and its descendants listen on."""

from contextlib import suppress
from dataclasses import dataclass

import psutil

from cluster.loopback import is_loopback


@dataclass(frozen=True)
class Listening:
    """A TCP or UDP socket that takes connections or packets."""

    program: str
    address: str
    port: int


def listening(pid: int) -> list[Listening]:
    """The sockets of a process and its descendants."""
    found = []
    for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            for socket in one.net_connections("inet"):
                if socket.status == psutil.CONN_LISTEN or (socket.status == psutil.CONN_NONE and not socket.raddr):
                    found.append(Listening(one.name(), socket.laddr.ip, socket.laddr.port))
    return found


def open_to_others(pid: int) -> list[Listening]:
    """Those of them that other machines reach."""
    return [one for one in listening(pid) if not is_loopback(one.address)]
