"""Work that takes longer than a time limit in total, but answers well within it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray

from cluster.health import Supervised
from rewards.verdict import Sample, Verdict
from rl.actors import rollout as rollout_module
from rl.actors.reward import RewardActor
from rl.actors.rollout import RolloutActor, RolloutSpec
from rl.config.schema import ModelConfig, RewardConfig, RolloutConfig
from rl.config.stages import SamplingConfig
from rl.driver.calls import Limits, Panel, complete, patience
from tests.rewards import misbehaving

PROMPTS = [[20 + i, 300 + 7 * i, 40, 50 + i] for i in range(12)]
SLOW = f"{misbehaving.__name__}:slow"


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


@pytest.fixture(scope="module")
def actor(ray_cluster, models):
    path = str(models["tied"])
    spec = RolloutSpec(ModelConfig(path=path, max_length=128), RolloutConfig(threads=1), path, "cpu", 0, "shm")
    options = {"num_cpus": 0, "runtime_env": {"env_vars": rollout_module.environment(spec)}}

    def up(handle):
        ray.get(handle.ready.remote(), timeout=300)

    found = Supervised("rollout/slow", SlowActor, (spec,), options, 5, up)
    up(found.handle)
    yield found
    found.stop()


def _same(found, expected):
    return [(c.token_ids.tolist(), c.text, c.finish_reason) for c in found] == [
        (c.token_ids.tolist(), c.text, c.finish_reason) for c in expected
    ]


def test_an_evaluation_may_take_longer_than_the_limit_and_answers_the_same(actor):
    """Fifty steps of a tenth of a second and more, under a limit of three seconds."""
    sampling = SamplingConfig(temperature=1.0, max_tokens=50, min_tokens=50)
    expected = [group[0] for group in actor.call("generate", PROMPTS, 1, sampling, 7, timeout_s=300)]
    actor.call("slow_down", 0.1, timeout_s=60)
    before = actor.restarts
    assert _same(complete(actor, PROMPTS, sampling, 7, timeout_s=3.0), expected)
    assert actor.restarts == before
    actor.call("slow_down", 0.0, timeout_s=60)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_engine_lost_on_the_way_answers_the_same(actor, temperature):
    sampling = SamplingConfig(temperature=temperature, max_tokens=40)
    expected = [group[0] for group in actor.call("generate", PROMPTS, 1, sampling, 7, timeout_s=300)]
    actor.call("slow_down", 0.1, timeout_s=60)
    before = actor.restarts
    killer = threading.Timer(1.5, lambda: ray.kill(actor.handle))
    killer.start()
    assert _same(complete(actor, PROMPTS, sampling, 7, timeout_s=60.0), expected)
    killer.join()
    assert actor.restarts == before + 1


def test_scoring_may_take_longer_than_the_limit(ray_cluster):
    """Each of two actors has ninety verdicts of 0.05 s to give, asked for by three threads at once."""
    config = RewardConfig(processes=1, timeout_s=2.0)
    actors = [Supervised(f"reward/slow-{i}", RewardActor, (config,), {"num_cpus": 0}, 0) for i in range(2)]
    try:
        for one in actors:
            one.call("check", [{SLOW: 1.0}, {"accuracy": 1.0}], timeout_s=120)
        panel = Panel(actors, Limits(32, patience(config.timeout_s), config.timeout_s))
        samples = [Sample("q", str(n), "a") for n in range(60)]
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(panel.verdicts, samples, {SLOW: 1.0}) for _ in range(3)]
            for one in asked:
                assert [verdict.score for verdict in one.result()] == [float(n) for n in range(60)]
        assert panel.verdicts([], {SLOW: 1.0}) == []
        assert [one.restarts for one in actors] == [0, 0]
    finally:
        for one in actors:
            one.stop()


class Hanging:
    """In place of a reward actor that never answers one of the pieces."""

    def __init__(self, bad):
        self.bad, self.name = bad, "reward/0"

    def call(self, method, samples, weights, patience_s, timeout_s):
        if self.bad in {sample.completion for sample in samples}:
            raise TimeoutError("reward/0 did not finish score within 1 s, twice")
        # Like the actor: what it did not begin in time has no verdict.
        return [Verdict(1.0) if place < 2 else None for place in range(len(samples))]


def test_a_hang_costs_its_piece_alone():
    panel = Panel([Hanging("5")], Limits(3, 0.2, 1.0))
    found = panel.verdicts([Sample("q", str(n), "a") for n in range(10)], {"accuracy": 1.0})
    failed = [n for n, verdict in enumerate(found) if verdict.error is not None]
    assert 5 in failed and len(failed) <= 3 and all("twice" in found[n].error for n in failed)
