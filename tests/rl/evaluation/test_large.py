"""What follows the answers of a large evaluation: as for a small one, with work that grows with the answers alone."""

import math
import random
import sys
import weakref
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.evaluation import matching, on_disk, statistics
from rl.evaluation.asking import TaskRun, answer
from rl.evaluation.benchmark import Question
from rl.evaluation.benchmarks.generic import load
from rl.evaluation.report_command import SHOWN, Evaluated, answers
from rl.evaluation.run_command import assess
from rl.evaluation.statistics import interval, permutation
from rl.files import json_lines, read_json_lines
from rl.inference import journal
from rl.inference.backend import Answer
from rl.inference.json_lines import write_lines
from rl.inference.model_options import Sampling

ENDING = "依据上述事实和法律，下列说法正确的是？"
MAINS = st.lists(st.text("甲乙", max_size=4).map(lambda head: head + ENDING), max_size=6)


def plain_main_of(mains, asked):
    """The question that ends last, by trying each of them at each place."""
    mains = list(mains)
    for end in range(len(asked), 0, -1):
        if fits := [main for main in mains if main and asked.endswith(main, 0, end)]:
            return max(fits, key=len)
    return None


@given(MAINS, st.lists(st.text("甲乙丙", max_size=3), max_size=4), st.lists(st.text("甲乙", max_size=5), max_size=6))
def test_the_question_in_a_prompt_is_the_one_that_ends_last_and_is_longest(long, short, between):
    mains = [*long, *short]
    finder = matching.Finder([Question(str(n), main, "") for n, main in enumerate(mains)])
    pieces = (piece for pair in zip(between, [*mains, *[""] * 6], strict=False) for piece in pair)
    asked = matching.normalised("".join(pieces))
    assert finder.main_of(asked) == plain_main_of(map(matching.normalised, mains), asked)


def test_questions_with_the_same_end_are_not_tried_one_by_one():
    def calls(count):
        questions = [Question(str(n), f"{n:06}号案件，下列说法中符合法律规定的是？", "") for n in range(count)]
        finder, seen, asked = matching.Finder(questions), Counter(), matching.normalised(questions[-1].prompt)
        sys.setprofile(lambda frame, event, _: seen.update([event]) if event == "c_call" else None)
        try:
            assert finder.main_of(asked + "请作答") == asked
        finally:
            sys.setprofile(None)
        return seen.total()

    assert calls(2_000) <= calls(20) + 2


def test_blocks_bound_the_memory_and_change_no_figure(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = list(rng.random(300)), list(rng.random(300) + 0.02)
    before = interval(a), permutation(a, b)
    monkeypatch.setattr(statistics, "BLOCK", 900)
    assert (interval(a), permutation(a, b)) == before
    largest = []
    draw = np.random.default_rng

    class Watched:
        def __init__(self, seed):
            self._own = draw(seed)

        def integers(self, *args, size):
            largest.append(math.prod(size))
            return self._own.integers(*args, size=size)

    monkeypatch.setattr(np.random, "default_rng", Watched)
    assert (interval(a), permutation(a, b)) == before and max(largest) <= 900


def test_many_scores_have_the_interval_of_the_normal_distribution(monkeypatch):
    scores = np.random.default_rng(0).random(20_000)
    monkeypatch.setattr(statistics, "MOST_DRAWN", 20_000_000)  # as 200,000 scores have
    error = 1.96 * scores.std() / math.sqrt(len(scores))
    low, high = interval(list(scores))
    assert (low, high) == pytest.approx((scores.mean() - error, scores.mean() + error), abs=0.15 * error)


def test_the_answers_shown_are_the_worst_and_the_best(tmp_path):
    rng = random.Random(0)
    rows = [
        {"id": f"q{n}", "prediction": "", "reference": "", "facets": {}, "fixed": 0.0, "abstained": False,
         "score": rng.choice((None, 0.0, 0.5, 1.0))}
        for n in range(200)
    ]  # fmt: skip
    asked = [{"key": f"t/q{n}", "prompt": f"问{n}", "answers": [{"text": f"答{n}"}]} for n in range(0, 200, 2)]
    rng.shuffle(asked)
    write_lines(tmp_path / "scored" / "t.jsonl", rows)
    write_lines(tmp_path / "answers" / "t.jsonl", asked)
    known = sorted((row for row in rows[::2] if row["score"] is not None), key=lambda row: row["score"])
    found = answers(Evaluated("run", {}, tmp_path), "t")
    assert [one["id"] for one in found] == [row["id"] for row in known[: SHOWN // 2] + known[-SHOWN // 2 :]]
    assert all(one["prompt"] == f"问{one['id'][1:]}" and one["answer"] == f"答{one['id'][1:]}" for one in found)
    for count in (0, 1, SHOWN):
        write_lines(tmp_path / "answers" / "t.jsonl", [one for one in asked if one["key"][2:] in {
            row["id"] for row in known[:count]
        }])  # fmt: skip
        assert [one["id"] for one in answers(Evaluated("run", {}, tmp_path), "t")] == [r["id"] for r in known[:count]]


def test_lines_are_read_one_by_one_up_to_one_that_is_being_written(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a"')
    lines = json_lines(path, dict, "remove it")
    assert next(lines) == {"a": 1}
    assert [*lines] == [{"a": 2}] and read_json_lines(path, dict, "remove it") == [{"a": 1}, {"a": 2}]
    assert read_json_lines(tmp_path / "none", dict, "remove it") == []


def test_questions_on_the_disk_are_those_of_the_list(monkeypatch):
    """Bordering sizes too; halves of surrogate pairs, line ends and lists as references come back as they were."""
    monkeypatch.setattr(on_disk, "FEW", 5)
    shots = (("问", "答"),)
    for count in (0, 1, 5, 6, 40):
        given = [
            Question(
                f"q{n}", f"问\n\u2028\ud800“{n}”", ["甲", "乙"] if n % 2 else "A", shots=shots, facets={"d": str(n)},
                parts=(f"{n}", "乙"),
            )
            for n in range(count)
        ]  # fmt: skip
        found = on_disk.kept(iter(given))
        assert isinstance(found, list) == (count <= 5)
        assert [*found] == given and [one.parts for one in found] == [one.parts for one in given]
        for part in (slice(3), slice(None), slice(4, 1, -2), slice(-1, None)):
            assert [*found[part]] == given[part]
        assert [found[n] for n in reversed(range(count))] == given[::-1]
        with pytest.raises(IndexError):
            found[count]


BENCHMARK = """
name: many
tasks:
  a: {file: a.jsonl, prompt: "{question}", reference: answer, metric: choice, id: id}
  b: {file: a.jsonl, prompt: "{question}?", reference: answer, metric: rouge_l}
"""


@dataclass(frozen=True)
class Counted(Answer):
    """An answer that is counted while it is in memory."""


class Answering:
    """Two answers to each question; counts what is in memory whenever it answers."""

    def __init__(self):
        self.asks, self.answers, self.most = weakref.WeakSet(), weakref.WeakSet(), Counter()

    def generate(self, asks, done):
        self.asks.update(asks)
        for ask in reversed(asks):
            given = [Counted(f"{ask.key[-1]}{'ABCD'[len(ask.key) % 4]}", "想" * n, n, truncated=n == 1) for n in (1, 2)]
            self.answers.update(given)
            done(ask, given)
            del given
            self.most |= Counter(asks=len(self.asks), answers=len(self.answers))

    def count_tokens(self, messages):
        return sum(len(content) for _, content in messages)

    def close(self):
        pass


def test_neither_asks_nor_answers_of_an_evaluation_are_all_in_memory(tmp_path, monkeypatch):
    """The scores and files are those of answers in memory; a question that is too long has none."""
    monkeypatch.setattr(on_disk, "FEW", 10)
    monkeypatch.setattr(journal, "PART", 16)
    (tmp_path / "many.yaml").write_text(BENCHMARK)
    rows = [{"id": f"q{n}", "question": "问" * (90 if n == 33 else 9), "answer": "ABCD"[n % 4]} for n in range(100)]
    write_lines(tmp_path / "a.jsonl", rows)
    benchmark, head = load(tmp_path / "many.yaml"), {"benchmark": "many", "model": "m"}

    def evaluated(backend, part):
        monkeypatch.setattr(journal, "PART", part)
        tasks, done = [TaskRun(name, benchmark.read(tmp_path, name, 0)) for name in benchmark.tasks], []
        kept = journal.Journal(backend, tmp_path / f"{part}" / "answers")
        sampling = Sampling(samples=2, temperature=1.0, max_tokens=4)
        answer({task.name: task for task in tasks}, kept, 80, sampling, lambda: done.append(1))
        assert len(done) == 200 and [task.too_long for task in tasks] == [1, 1]
        return tasks, kept

    backend = Answering()
    tasks, kept = evaluated(backend, 16)
    assert backend.most["asks"] <= 17 and backend.most["answers"] <= 4, backend.most
    assess(benchmark, tasks, tmp_path / "16", head, None)
    whole, _ = evaluated(Answering(), 1000)
    in_memory = [replace(task, questions=[*task.questions], answers=dict(task.answers)) for task in whole]
    assert [(len(task.answers), name in task.answers) for task, name in zip(tasks, ("q33", "33"), strict=True)] == [
        (99, False)
    ] * 2
    assess(benchmark, in_memory, tmp_path / "1000", head, None)
    files = [path.relative_to(tmp_path / "16") for path in sorted((tmp_path / "16").rglob("*.json*"))]
    assert len(files) == 5
    for path in files:
        assert (tmp_path / "16" / path).read_bytes() == (tmp_path / "1000" / path).read_bytes(), path
    silent = Answering()
    again, kept = evaluated(silent, 16)
    assert (
        not silent.most
        and kept.reused == 198
        and [task.answers for task in again] == [task.answers for task in in_memory]
    )
