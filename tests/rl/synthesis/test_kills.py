"""A run that is killed at any moment goes on: the same files to the byte, and nothing that was kept is asked again."""

import json
import random
import threading
import time
from collections import Counter

import pytest

from tests.rl.forks import forks
from tests.rl.synthesis.runs import JUDGMENTS, child, config, files, options, run
from tools.scripted_server import Server
from tools.scripted_teacher import reply

LONG_S = 300


class Teacher:
    """Answers ``budget`` requests and keeps who asks more waiting."""

    def __init__(self, budget):
        self.budget = budget
        self.answered = Counter()
        self.full, self.over = threading.Event(), threading.Event()

    def __call__(self, body):
        if self.answered.total() >= self.budget or self.over.is_set():
            self.full.set()
            self.over.wait(LONG_S)
            return 503  # whoever asked is dead
        self.answered[body["messages"][-1]["content"]] += 1
        return reply(body)


def kept(folder):
    """The requests whose answers are on the disk."""
    paths = (folder / "answers").glob("*.jsonl")
    lines = (line for path in paths for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))
    return {json.loads(line)["prompt"] for line in lines}


def wait(condition):
    until = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def run_until(cut, folder, exact):
    """A run in a process that is killed when the teacher has given ``cut`` answers, if there is a cut; what was asked.

    With ``exact`` all of them are on the disk by then, else some may be on their way.
    """
    before = len(kept(folder))
    teacher = Teacher(10_000 if cut is None else cut - before)
    with Server(teacher) as server:  # each time at another address, as after a restart
        values = config(*options(folder, server.url), "limit=2").model_dump_json()
        process = forks().Process(target=child, args=(values,))
        process.start()
        if cut is None:
            process.join(LONG_S)
            assert process.exitcode == 0
        else:
            wait(lambda: teacher.full.is_set() or not process.is_alive())
            assert process.is_alive(), "the run ended before its time"
            if exact:
                wait(lambda: len(kept(folder)) == before + teacher.budget)
            process.kill()
            process.join()
        teacher.over.set()
    assert not teacher.answered or max(teacher.answered.values()) == 1
    return teacher.answered.keys()


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_change_nothing(tmp_path, kills):
    folder = tmp_path / "killed"
    cuts = sorted(random.Random(7).sample(range(1, 50), kills))
    for number, cut in enumerate([*cuts, None]):
        on_disk = kept(folder)
        asked = run_until(cut, folder, exact=number % 2 == 1)
        assert not on_disk & asked, "what is on the disk is not asked again"
        assert on_disk <= kept(folder)
    with Server(reply) as server:
        results = run(tmp_path / "whole", server.url, JUDGMENTS, "limit=2")
    assert files(folder) == files(tmp_path / "whole")
    assert len(kept(folder)) == sum(result.usage.requests for result in results) == 50
