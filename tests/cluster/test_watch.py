"""Frozen actors are ended and replaced, on whatever node they are; what works, sleeps or is somebody else's is not."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import ray
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.errors import Lost
from cluster.health import Supervised
from cluster.loopback import loopback_node
from cluster.processes import Known, end, known
from cluster.watch import Watch

FROZEN_S = 1.0


class Worker:
    def pid(self):
        return os.getpid()

    def sleep(self, seconds):
        time.sleep(seconds)
        return os.getpid()

    def child(self):
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return self.process.pid

    def child_ends(self):
        return self.process.wait(60)


@pytest.fixture
def watch(ray_cluster):
    found = Watch(FROZEN_S)
    yield found
    found.close()


def supervised(watch, name, told, **options):
    def tell(who, why, handle):
        told.append((who, why, watch.of(handle).pid))

    return Supervised(name, Worker, (), {"num_cpus": 0, **options}, 3, watch=watch, tell=tell)


def freeze(pid):
    """Stop a process; returns once the kernel says so."""
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)


def test_a_frozen_actor_is_ended_and_replaced_long_before_its_time_limit(watch):
    told = []
    actor = supervised(watch, "watched/0", told)
    try:
        pid = actor.call("pid", timeout_s=60)
        before = known(pid)
        freeze(pid)
        assert actor.call("pid", timeout_s=600) != pid
        assert before.state() is None, "the frozen process is gone"
        assert [(who, lost) for who, _, lost in told] == [("watched/0", pid)]
        assert "was stopped by a signal for" in told[0][1] and "was ended" in told[0][1]
    finally:
        actor.stop()


def test_an_actor_that_works_for_long_is_left_alone_and_so_is_one_that_was_frozen_for_a_moment(watch):
    told = []
    actor = supervised(watch, "watched/1", told)
    try:
        pid = actor.call("sleep", 4 * FROZEN_S, timeout_s=600)
        freeze(pid)
        os.kill(pid, signal.SIGCONT)
        assert actor.call("sleep", 2 * FROZEN_S, timeout_s=600) == pid and not told
    finally:
        actor.stop()


def test_what_an_actor_has_started_is_ended_alone(watch):
    told = []
    actor = supervised(watch, "watched/2", told)
    try:
        pid, child = actor.call("pid", timeout_s=60), actor.call("child", timeout_s=60)
        freeze(child)
        assert actor.call("child_ends", timeout_s=600) == -signal.SIGKILL
        assert actor.call("pid", timeout_s=60) == pid and not told
    finally:
        actor.stop()


def test_an_actor_on_another_node_is_ended_there(watch):
    """A second raylet on this machine is another node to Ray."""
    parameters = RayParams(
        gcs_address=ray.get_runtime_context().gcs_address, node_ip_address="127.0.0.1", num_cpus=1, num_gpus=0,
        resources={"there": 1}, object_store_memory=80_000_000, min_worker_port=0, max_worker_port=0,
        node_manager_port=0, include_log_monitor=False, dashboard_agent_listen_port=None,
    )  # fmt: skip
    with loopback_node():
        second = Node(parameters, head=False, shutdown_at_exit=False, spawn_reaper=False)
    try:
        until = time.monotonic() + 120
        while not (found := [one for one in ray.nodes() if one["Alive"] and "there" in one["Resources"]]):
            assert time.monotonic() < until
            time.sleep(0.2)
        told = []
        affinity = NodeAffinitySchedulingStrategy(found[0]["NodeID"], soft=False)
        actor = supervised(watch, "watched/3", told, scheduling_strategy=affinity)
        pid = actor.call("pid", timeout_s=120)
        assert watch.of(actor.handle).node == found[0]["NodeID"] != ray.get_runtime_context().get_node_id()
        freeze(pid)
        assert actor.call("pid", timeout_s=600) != pid
        assert known(pid) is None and told[0][2] == pid
        actor.stop()
    finally:
        second.kill_all_processes(check_alive=False)


def test_only_the_very_process_is_ended():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        one = known(child.pid)
        other = Known(one.pid, one.started + 1)
        assert one.state() is not None and other.state() is None
        end([other], grace_s=0)
        assert child.poll() is None, "a later process with the same pid"
        freeze(child.pid)
        end([one], grace_s=600)
        assert child.wait(60) == -signal.SIGKILL, "a frozen one does not get the time to end by itself"
    finally:
        child.kill()
        child.wait()


def test_a_frozen_actor_that_ends_with_its_run_is_not_left(watch):
    actor = supervised(watch, "watched/4", [])
    pid = actor.call("pid", timeout_s=60)
    freeze(pid)
    actor.stop()
    assert known(pid) is None
    with pytest.raises(Lost, match="was stopped"):
        actor.call("pid", timeout_s=60)
