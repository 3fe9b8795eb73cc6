"""What an actor starts under a supervisor ends with the actor, with all that it has started itself."""

import os
import subprocess
import sys

import psutil
import pytest
import ray

from cluster.processes import remaining

CHILD = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True).pid, flush=True)
time.sleep(600)
"""


class Starter:
    def start(self):
        words = [sys.executable, "-m", "rewards.lifetime", str(os.getpid()), sys.executable, "-c", CHILD]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
        return self.process.pid, int(self.process.stdout.readline())

    def leave(self):
        ray.actor.exit_actor()


@pytest.mark.parametrize("way", ["killed", "leaves"])
def test_ray_leaves_the_children_of_an_actor_to_their_supervisor(ray_cluster, way):
    actor = ray.remote(Starter).remote()
    processes = [psutil.Process(pid) for pid in ray.get(actor.start.remote())]
    if way == "killed":
        ray.kill(actor)
    else:
        actor.leave.remote()
    assert not remaining(processes, within_s=60)
