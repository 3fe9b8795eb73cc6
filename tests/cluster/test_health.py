import os
import signal
import socket
import time

import pytest
import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, LocalRayletDiedError, RaySystemError, RpcError

from cluster import health, nodes
from cluster.errors import Away, ClusterError, Lost
from cluster.health import Supervised, as_lost
from cluster.placement import reserve
from cluster.ray_cluster import PORTS, free_port_from
from tests.cluster.slurm_daemons import until


class Worker:
    def __init__(self, start):
        self.total = start

    def pid(self):
        return os.getpid()

    def add(self, n):
        self.total += n
        return self.total

    def slow(self, seconds):
        time.sleep(seconds)
        return seconds

    def crash_if(self, path):
        """Dies the first time only."""
        if not os.path.exists(path):
            open(path, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    def fail(self):
        raise ValueError("as asked")


@pytest.fixture
def worker(ray_cluster):
    restarted, told = [], []

    def tell(who, why, handle):
        told.append((who, why))

    actor = Supervised(
        "worker/0", Worker, (10,), {"num_cpus": 0}, max_restarts=2, on_restart=restarted.append, tell=tell
    )
    actor.told = told
    yield actor, restarted
    actor.stop()


def test_a_killed_actor_is_replaced_and_the_call_issued_again(worker, tmp_path):
    actor, restarted = worker
    assert actor.call("add", 1, timeout_s=30) == 11
    before = actor.call("pid", timeout_s=30)
    os.kill(before, signal.SIGKILL)
    assert actor.call("add", 1, timeout_s=60) == 11, "a fresh actor"
    assert actor.call("crash_if", str(tmp_path / "mark"), timeout_s=60) == "alive"
    assert actor.restarts == len(restarted) == 2
    assert actor.told == [("worker/0", "died: its worker process has died")] * 2
    assert ray.get_actor("worker/0") is not None
    os.kill(actor.call("pid", timeout_s=30), signal.SIGKILL)
    with pytest.raises(Lost, match=r"^worker/0 was lost 3 times, more than allowed; the last time it died: its worker"):
        actor.call("pid", timeout_s=60)


def test_a_hanging_actor_is_replaced_once(worker):
    actor, _ = worker
    with pytest.raises(TimeoutError, match="slow within 1 s, twice"):
        actor.call("slow", 30, timeout_s=1)


def test_an_exception_is_passed_on(worker):
    actor, _ = worker
    with pytest.raises(ValueError, match="as asked"):
        actor.call("fail", timeout_s=30)
    assert actor.restarts == 0


def test_an_actor_that_is_lost_again_while_it_is_brought_up_to_date_is_replaced_again(ray_cluster):
    kills = [True, False]

    def bring_up(handle):
        if kills.pop(0):
            os.kill(ray.get(handle.pid.remote()), signal.SIGKILL)
        ray.get(handle.add.remote(5))

    actor = Supervised("worker/1", Worker, (10,), {"num_cpus": 0}, max_restarts=5, on_restart=bring_up)
    try:
        os.kill(actor.call("pid", timeout_s=60), signal.SIGKILL)
        assert actor.call("add", 1, timeout_s=60) == 16 and actor.restarts == 2
    finally:
        actor.stop()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RaySystemError("Broken pipe."), "Ray was lost: System error: Broken pipe"),
        (LocalRayletDiedError(), "Ray was lost: The task's local raylet died"),
        (RpcError("failed to connect to all addresses.\nmore"), "Ray was lost: failed to connect to all addresses"),
        (ActorUnavailableError("busy.", b"\0" * 16), "an actor died: "),
        (Lost("Ray", "was lost: x"), "Ray was lost: x"),
    ],
)
def test_errors_of_a_lost_ray_are_sentences(error, said):
    found = str(as_lost(error))
    assert found.startswith(said) and not found.endswith(".") and "\n" not in found


def test_other_errors_are_not(ray_cluster):
    assert as_lost(ValueError("no")) is None and as_lost(GetTimeoutError()) is None


class Broken:
    def __init__(self):
        raise ValueError("this model has 3 legs")

    def ready(self):
        return True


def test_an_actor_that_cannot_start_says_why_at_once(ray_cluster):
    broken = Supervised("broken/0", Broken, (), {"num_cpus": 0}, max_restarts=5)
    with pytest.raises(RuntimeError, match=r"broken/0 could not start.*this model has 3 legs"):
        broken.call("ready", timeout_s=60)
    assert broken.restarts == 0


def test_what_cannot_be_reserved_is_shown(ray_cluster, capsys):
    with pytest.raises(ClusterError, match=r"asked +1 × 1000 CPU(.|\n)*free of(.|\n)*no node is large enough"):
        reserve([{"CPU": 1000.0}], timeout_s=1.5)
    assert capsys.readouterr().out.count("waiting for resources") <= 1, "a line a minute"
    group = reserve([{"CPU": 1.0}], timeout_s=30)
    ray.util.remove_placement_group(group)


def test_the_next_port_is_used_where_one_is_taken(monkeypatch, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = free_port_from(port)
        assert port < found < port + PORTS and f"port {port} on 127.0.0.1 is taken" in capsys.readouterr().err
        monkeypatch.setattr("cluster.ray_cluster.PORTS", 1)
        with pytest.raises(ClusterError, match=rf"port {port} on 127.0.0.1 is taken.*cluster.dashboard=false"):
            free_port_from(port)
        assert free_port_from(found) == found and not capsys.readouterr().err


def test_an_actor_whose_place_is_lost_is_away_until_there_is_one(ray_cluster, monkeypatch):
    monkeypatch.setattr(health, "RETURN_S", 0.05)
    places, told, up = [{"num_cpus": 0}], [], []

    def bring_up(handle):
        up.append(ray.get(handle.add.remote(5)))
        actor.away = False

    actor = Supervised(
        "worker/2", Worker, (10,), {}, 2, bring_up, tell=lambda name, why, handle: told.append((name, actor.away)),
        place=lambda lost: places[-1],
    )  # fmt: skip
    try:
        pid = actor.call("pid", timeout_s=60)
        places.append(None)
        os.kill(pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(Away, match="worker/2 is away"):
                actor.call("pid", timeout_s=60)
        assert actor.away and told == [("worker/2", True)] and not up
        places.append({"num_cpus": 0})
        until(lambda: not actor.away)
        assert actor.call("add", 1, timeout_s=60) == 16 and up == [15] and actor.restarts == 1
        places.append(None)
        actor.leave()
        with pytest.raises(Away):
            actor.call("pid", timeout_s=60)
        assert actor.finish("pid", timeout_s=1) is None
    finally:
        actor.stop()


def test_a_node_is_waited_for_until_it_has_answered_or_is_known_to_be_gone(ray_cluster):
    assert list(nodes.ask([nodes.own()], lambda: 1, timeout_s=60).values()) == [1]
    nodes.settle([nodes.own(), "f" * 56])
