"""What tests of the driver share: one real rollout actor, which can be slowed down."""

import time

import pytest
import ray

from cluster.health import Supervised
from rl.actors import rollout as rollout_module
from rl.actors.rollout import RolloutActor, RolloutSpec
from rl.config.schema import ModelConfig, RolloutConfig


class SlowActor(RolloutActor):
    """The real engine, with a pause before every step."""

    def __init__(self, spec: RolloutSpec) -> None:
        super().__init__(spec)
        self.pause_s = 0.0
        step = self.llm.llm_engine.step

        def slowed():
            time.sleep(self.pause_s)
            return step()

        self.llm.llm_engine.step = slowed

    def slow_down(self, pause_s: float) -> None:
        self.pause_s = pause_s


@pytest.fixture(scope="package")
def actor(ray_cluster, models):
    """A rollout actor with random weights, for up to 128 tokens."""
    path = str(models["tied"])
    spec = RolloutSpec(ModelConfig(path=path, max_length=128), RolloutConfig(threads=1), path, "cpu", 0, "shm")
    options = {"num_cpus": 0, "runtime_env": {"env_vars": rollout_module.environment(spec)}}

    def up(handle):
        ray.get(handle.ready.remote(), timeout=300)

    found = Supervised("rollout/slow", SlowActor, (spec,), options, 5, up)
    up(found.handle)
    yield found
    found.stop()


@pytest.fixture
def slow_actor(actor):
    """The same with a tenth of a second before every step."""
    actor.call("slow_down", 0.1, timeout_s=60)
    yield actor
    actor.call("slow_down", 0.0, timeout_s=60)
