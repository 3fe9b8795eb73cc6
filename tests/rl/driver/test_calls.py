"""Work that takes longer than a time limit in total, but answers well within it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray

from cluster.health import Supervised
from rewards.verdict import Sample, Verdict
from rl.actors.reward import RewardActor
from rl.config.schema import RewardConfig
from rl.config.stages import SamplingConfig
from rl.driver.calls import Limits, Panel, complete, patience
from tests.rewards import misbehaving

PROMPTS = [[20 + i, 300 + 7 * i, 40, 50 + i] for i in range(12)]
SLOW = f"{misbehaving.__name__}:slow"


def _plain(completions):
    return [(c.token_ids.tolist(), c.text, c.finish_reason) for c in completions]


def _complete(actor, sampling, timeout_s):
    found = dict(one for part in complete(actor, PROMPTS, sampling, 7, timeout_s) for one in part)
    return _plain(found[place][0] for place in range(len(PROMPTS)))


def _expected(actor, sampling):
    return _plain(group[0] for group in actor.call("generate", PROMPTS, 1, sampling, 7, timeout_s=300))


def test_sampling_may_take_longer_than_the_limit_and_answers_the_same(actor, request):
    """Fifty steps of a tenth of a second and more, under a limit of three seconds."""
    sampling = SamplingConfig(temperature=1.0, max_tokens=50, min_tokens=50)
    expected, before = _expected(actor, sampling), actor.restarts
    assert _complete(request.getfixturevalue("slow_actor"), sampling, 3.0) == expected
    assert actor.restarts == before


@pytest.mark.parametrize("temperature", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_an_engine_lost_on_the_way_answers_the_same(actor, request, temperature):
    sampling = SamplingConfig(temperature=temperature, max_tokens=40)
    expected, before = _expected(actor, sampling), actor.restarts
    request.getfixturevalue("slow_actor")
    killer = threading.Timer(1.5, lambda: ray.kill(actor.handle))
    killer.start()
    assert _complete(actor, sampling, 60.0) == expected
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
