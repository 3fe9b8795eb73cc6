"""The stream of groups: order, capacity, staleness, resume, loss of an engine. The engines here are scripted."""

import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest

from cluster.errors import Away
from curricula.prompts import ask
from rl.config.stages import SamplingConfig
from rl.driver.stream import GroupStream, IssuedPrompt, StreamPlan
from rl.samples import Completion


class ScriptedEngine:
    """In place of a supervised rollout actor; a request takes as many ticks as its prompt says."""

    name = "rollout/0"

    def __init__(self, tick_s=0.0):
        self.tick_s, self.restarts, self.away = tick_s, 0, False
        self.running, self.log, self.lock = {}, [], threading.Lock()
        self.dies_at = self.leaves_at = None
        self.answered = 0
        self.patience = []

    def call(self, method, *arguments, timeout_s):
        with self.lock:
            if self.away:
                raise Away("it has no place")
            return getattr(self, method)(*arguments)

    def submit(self, requests, n, sampling, seed):
        if seed is not None:
            self.running = {}
        self.log.append((seed, [uid for uid, _ in requests]))
        self.running |= {uid: [ids[0], ids, n, seed] for uid, ids in requests if uid not in self.running}

    def collect(self, at_least, patience_s):
        self.patience.append(patience_s)
        found, deadline = [], time.monotonic() + (patience_s or 100)
        if self.leaves_at is not None and self.answered >= self.leaves_at:
            self.running, self.leaves_at, self.away = {}, None, True
            raise Away("it has no place")
        while self.running and len(found) < at_least and time.monotonic() < deadline:
            if self.dies_at is not None and self.answered + len(found) >= self.dies_at:
                self.running, self.dies_at, self.restarts = {}, None, self.restarts + 1
                return []
            time.sleep(self.tick_s)
            for job in self.running.values():
                job[0] -= 1
            for uid in [uid for uid, job in self.running.items() if job[0] <= 0]:
                _, ids, n, _ = self.running.pop(uid)
                found.append((uid, [Completion(np.array(ids), np.zeros(len(ids)), "", "stop", 1)] * n))
        self.answered += len(found)
        return found


def stream_of(engines, ticks, staleness=0, parts=2, steps=6, size=4, score=lambda groups: groups, timeout_s=10):
    def draw(index, version):
        return IssuedPrompt(index, f"u{index:03d}", ask("t", "q", "a"), [ticks[index % len(ticks)]], version)

    plan = StreamPlan(size, steps, 2, SamplingConfig(), staleness, parts, seed=7, timeout_s=timeout_s)
    return GroupStream(engines, draw, score, plan)


def step(stream, version, wanted=4):
    stream.fill(version)
    return [[group.uid for group in part] for part in stream.take(wanted, version, lambda name: nullcontext())]


TICKS = [5, 1, 3, 2]


def test_groups_come_as_they_complete_and_every_prompt_once():
    with stream_of([ScriptedEngine()], TICKS) as stream:
        assert step(stream, 0) == [["u001", "u003"], ["u002", "u000"]]
        assert [uid for part in step(stream, 1) for uid in part] == ["u005", "u007", "u006", "u004"]
        assert not stream.pending and stream.drawn == 8


@pytest.mark.parametrize("repeat", range(3))
def test_the_order_from_two_engines_does_not_depend_on_a_clock(repeat):
    slow = [ScriptedEngine(tick_s=0.01 * repeat), ScriptedEngine(tick_s=0.01 * (2 - repeat))]
    with stream_of(slow, TICKS) as stream:
        assert step(stream, 0) == [["u002"], ["u001"], ["u000"], ["u003"]]


@pytest.mark.parametrize("dies_at", [0, 1, 2, 3])
def test_a_lost_engine_begins_the_step_again_and_nothing_comes_twice(dies_at):
    engine = ScriptedEngine()
    with stream_of([ScriptedEngine()], TICKS) as stream:
        expected = step(stream, 0)
    engine.dies_at = dies_at
    with stream_of([engine], TICKS) as stream:
        assert step(stream, 0) == expected
    assert len(engine.log) == 2 and engine.log[0] == engine.log[1], "the same requests from the same seed"


@pytest.mark.parametrize("staleness", [0, 1])
@pytest.mark.parametrize("leaves_at", [0, 1, 2])
def test_the_unfinished_groups_of_an_engine_that_goes_away_go_to_the_others_until_it_comes_back(staleness, leaves_at):
    leaver, other = ScriptedEngine(0.001), ScriptedEngine(0.001)
    leaver.leaves_at = leaves_at
    with stream_of([leaver, other], TICKS, staleness, parts=4) as stream:
        taken = [uid for version in range(3) for part in step(stream, version) for uid in part]
        assert leaver.away, "it has lost its place"
        asked = len(leaver.log)
        leaver.away, leaver.restarts = False, 1
        taken += [uid for version in range(3, 6) for part in step(stream, version) for uid in part]
    assert sorted(taken) == [f"u{i:03d}" for i in range(24)], "none twice, none lost"
    assert len(leaver.log) > asked, "it is used again"


def test_where_every_engine_is_away_the_stream_waits():
    engines = [ScriptedEngine(), ScriptedEngine()]
    for engine in engines:
        engine.away = True
    back = threading.Timer(0.2, lambda: setattr(engines[1], "away", False))
    back.start()
    with stream_of(engines, TICKS) as stream:
        assert sorted(uid for part in step(stream, 0) for uid in part) == ["u000", "u001", "u002", "u003"]
    back.join()
    assert not engines[0].log and engines[1].log


@pytest.mark.parametrize("staleness", [1, 2])
@pytest.mark.parametrize("engines", [1, 2])
def test_staleness_is_bounded_and_the_ledger_exact(staleness, engines):
    ticks = [9, 1, 1, 2, 1, 30, 1, 1, 2, 1, 60]
    born, taken = {}, []
    with stream_of([ScriptedEngine(0.001) for _ in range(engines)], ticks, staleness) as stream:
        for version in range(6):
            stream.fill(version)
            born |= {uid: prompt.version for uid, prompt in stream.pending.items() if uid not in born}
            assert stream.drawn <= (version + 1 + staleness) * 4
            for part in stream.take(4, version, lambda name: nullcontext()):
                taken += [(group.uid, version - born[group.uid]) for group in part]
        assert not stream.pending, "nothing is left over at the end of a stage"
    assert sorted(uid for uid, _ in taken) == [f"u{i:03d}" for i in range(24)], "none twice, none lost"
    assert 0 < max(age for _, age in taken) <= staleness


def test_what_was_on_its_way_is_issued_again_after_a_resume():
    ticks = [1, 1, 1, 1, 50, 1]
    with stream_of([ScriptedEngine(0.001)], ticks, staleness=1) as stream:
        first = [uid for part in step(stream, 0) for uid in part]
        state = stream.state_dict()
    assert state["drawn"] == 8 and len(state["pending"]) == 4
    with stream_of([ScriptedEngine(0.001)], ticks, staleness=1) as resumed:
        resumed.load_state_dict(state)
        rest = [uid for version in range(1, 6) for part in step(resumed, version) for uid in part]
    assert sorted(first + rest) == [f"u{i:03d}" for i in range(24)]


@pytest.mark.parametrize("dies_at", [None, 0, 1, 3])
def test_an_engine_answers_well_within_its_time_limit_and_parts_stay_the_same(dies_at):
    """Six of its ticks are longer than the limit, so one call for a whole part would break it."""
    engine = ScriptedEngine(tick_s=0.05)
    engine.dies_at = dies_at
    with stream_of([engine], TICKS, timeout_s=0.2) as stream:
        assert step(stream, 0) == [["u001", "u003"], ["u002", "u000"]]
    assert max(engine.patience) <= 0.05 and len(engine.patience) > 4


def test_refills_come_on_top():
    with stream_of([ScriptedEngine()], TICKS) as stream:
        step(stream, 0)
        stream.refill(3, 0)
        assert sorted(uid for part in stream.take(3, 0, lambda name: nullcontext()) for g in part for uid in [g.uid])
        assert stream.state_dict() == {"drawn": 7, "extra": 3, "pending": []}
        assert len([uid for part in step(stream, 1) for uid in part]) == 4 and stream.drawn == 11


def test_an_error_in_scoring_reaches_the_driver():
    def broken(groups):
        raise RuntimeError("the judge is gone")

    with (
        stream_of([ScriptedEngine()], TICKS, score=broken) as stream,
        pytest.raises(RuntimeError, match="the judge is gone"),
    ):
        step(stream, 0)


def test_scoring_overlaps_with_sampling():
    """The first part's scores come only after the engine has finished the second: without overlap this never ends."""
    engine, second_done = ScriptedEngine(), threading.Event()

    def score(groups):
        if "u001" in {group.uid for group in groups}:
            assert second_done.wait(10)
        else:
            second_done.set()
        return groups

    with stream_of([engine], TICKS, score=score) as stream:
        assert step(stream, 0) == [["u001", "u003"], ["u002", "u000"]]
