"""The process group of trainer ranks, which listens on one address alone."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import ray


def join(
    backend: str,
    rank: int,
    world_size: int,
    address: str,
    port: int,
    timeout_s: float,
    listening: socket.socket | None = None,
) -> None:
    """Join the group whose rank 0 is at ``address``; what its ranks do together may take ``timeout_s`` seconds.

    torch by itself lets rank 0's store listen on all interfaces, and gloo picks one by the host's name, which may be of
    none. Here the store has what rank 0 is ``listening`` on (:func:`listen`), and gloo the interface of this machine
    that Ray uses.
    """
    from torch.distributed import TCPStore, init_process_group

    name = interface(address) or interface(ray.util.get_node_ip_address())
    if name:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
    assert (rank == 0) == (listening is not None), "rank 0 listens before the others know where"
    taken = None if listening is None else listening.detach()
    limit = timedelta(seconds=timeout_s)  # torch's own is 30 minutes for gloo
    store = TCPStore(address, port, world_size, is_master=rank == 0, timeout=limit, master_listen_fd=taken)
    init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=limit)


def interface(address: str) -> str | None:
    """The network interface of this machine that has an IP address; None if none has."""
    import psutil

    found = psutil.net_if_addrs().items()
    return next((name for name, places in found if any(place.address == address for place in places)), None)


def listen(address: str) -> socket.socket:
    """A socket that listens on an address of this machine, on a port that nobody else can take from then on."""
    return socket.create_server((_own(address), 0), family=_family(address))


def free_port(address: str) -> int:
    """A port that is free on an address of this machine now, for a listener that can't be handed a socket."""
    with socket.socket(_family(address)) as probe:
        probe.bind((_own(address), 0))
        return int(probe.getsockname()[1])


def _own(address: str) -> str:
    """What to listen on to be reached at an address; empty, which is all, if it is translated before this machine."""
    return address if interface(address) else ""


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
