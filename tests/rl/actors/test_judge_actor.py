"""The judge's own server may die or freeze at any time: it is started again, no verdict is lost, and it is told."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from cluster.processes import known
from rewards.verdict import Sample
from rl.actors import judge as judge_module
from rl.actors.judge import JudgeActor
from rl.config.schema import JudgeConfig, RewardConfig
from rl.errors import UserError

ROOT = Path(__file__).parents[3]
WEIGHTS = {"legal_validity": 1.0}


@pytest.fixture
def judge(monkeypatch):
    monkeypatch.setattr(judge_module, "SERVER", "tests.rl.actors.judge_server")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # verl installs a package of the name tests too
    config = JudgeConfig(kind="llm", model="m", max_model_len=4096, timeout_s=60, retries=1, guided="json")
    actor = JudgeActor(config, RewardConfig(), None, "cpu")
    yield actor
    actor.close()


def samples(first):
    return [Sample("何罪？", f"<answer>盗窃罪{n}</answer>", "盗窃罪", "charge") for n in range(first, first + 4)]


def test_a_server_that_died_is_replaced_and_its_requests_are_made_again(judge):
    assert [verdict.score for verdict in judge.score(samples(0), WEIGHTS)] == [1.0] * 4 and judge.losses() == []
    lost = known(judge._server.pid)
    os.kill(lost.pid, signal.SIGKILL)
    assert [verdict.score for verdict in judge.score(samples(4), WEIGHTS)] == [1.0] * 4
    assert lost.state() is None and psutil.pid_exists(judge._server.pid)
    assert judge.losses() == ["server died (exit status -9)"] and judge.losses() == []


def test_a_server_whose_supervisor_is_killed_leaves_nothing_behind(judge):
    judge.score(samples(0), WEIGHTS)
    lost = [known(one.pid) for one in psutil.Process(judge._server.pid).children(recursive=True)]
    assert len(lost) == 2, "the server, and what it has started"
    os.kill(judge._server.pid, signal.SIGKILL)
    assert [verdict.score for verdict in judge.score(samples(4), WEIGHTS)] == [1.0] * 4
    assert [one.state() for one in lost] == [None, None]


def test_a_server_that_dies_while_it_starts_is_started_again(judge, monkeypatch):
    judge.score(samples(0), WEIGHTS)
    start, starts = judge._start_server, []

    def one_dies():
        starts.append(judge._server)
        with monkeypatch.context() as patch:
            if len(starts) == 1:
                patch.setattr(judge_module, "SERVER", "tests.rl.actors.no_such_server")
            return start()

    monkeypatch.setattr(judge, "_start_server", one_dies)
    os.kill(judge._server.pid, signal.SIGKILL)
    assert [verdict.score for verdict in judge.score(samples(4), WEIGHTS)] == [1.0] * 4 and len(starts) == 2
    assert judge.losses() == ["server died (exit status -9)", "server died while it started (exit status 1)"]
    monkeypatch.setattr(judge_module, "SERVER", "tests.rl.actors.no_such_server")
    with pytest.raises(UserError, match="exited with status 1: see its log"):
        JudgeActor(judge.config, RewardConfig(), None, "cpu")
    monkeypatch.setattr(judge, "_start_server", start)
    os.kill(judge._server.pid, signal.SIGKILL)
    with pytest.raises(UserError, match="died 3 times while it started"):
        judge.score(samples(8), WEIGHTS)
