"""The process group of the trainer: what it listens on."""

import os
import socket

import psutil
import pytest
import torch.distributed

from rl.actors.process_group import interface, listen
from tests.rl.ranks import on_ranks
from tests.sockets import listening, open_to_others


def _heard(actor):
    total = torch.ones(1)
    torch.distributed.all_reduce(total)
    return float(total), len(listening(os.getpid())), open_to_others(os.getpid()), os.environ["GLOO_SOCKET_IFNAME"]


def test_ranks_on_one_machine_listen_on_loopback_alone(models):
    for total, number, others, name in on_ranks(_heard, models["tied"], 2):
        assert total == 2.0 and number and others == [] and name == "lo"


def test_a_port_is_taken_from_when_it_is_told_to_the_others():
    held = listen("127.0.0.1")
    with held, pytest.raises(OSError, match="in use"):
        socket.create_server(held.getsockname())


def test_an_interface_is_found_by_its_address():
    assert interface("127.0.0.1") == "lo"
    assert interface("203.0.113.1") is None
    for name, places in psutil.net_if_addrs().items():
        assert {interface(place.address) for place in places if place.family == socket.AF_INET} <= {name}
