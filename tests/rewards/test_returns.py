"""A user's rewards: one number is a score, anything else an error that names the reward and what to do."""

import io
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewards.confinement import SHARED_MEMORY
from rewards.pool import WorkerPool
from rewards.registry import Part
from rewards.total import expand, score
from rewards.verdict import Sample, Verdict, as_text
from tests.rewards import returning
from tests.rewards.returning import NO_NUMBERS, NUMBERS

OWN = returning.__name__


def sample(completion):
    return Sample("题目", completion, "A")


@pytest.fixture(scope="module")
def pool():
    found = WorkerPool(1, timeout_s=30.0, memory_mb=3072)
    yield found
    found.close()


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_is_plainly_one_number_is_a_score(pool, wrapped):
    parts = {f"{OWN}:returns": Part(2.0, options={"wrapped": wrapped})}
    found = pool.score([sample(name) for name in NUMBERS], parts)
    assert [verdict.error for verdict in found] == [None] * len(NUMBERS)
    assert [verdict.score for verdict in found] == [2 * value for _, value in NUMBERS.values()]
    assert all(type(verdict.score) is float for verdict in found)
    alone = score(f"{OWN}:returns", sample("bool_"), {"wrapped": wrapped})
    assert alone == Verdict(1.0, reason="wrapped" if wrapped else "") and type(alone.score) is float


@pytest.mark.parametrize("wrapped", [False, True])
def test_anything_else_is_an_error_that_names_the_reward(pool, wrapped):
    parts = {f"{OWN}:returns": Part(options={"wrapped": wrapped})}
    for name, verdict in zip(NO_NUMBERS, pool.score([sample(name) for name in NO_NUMBERS], parts), strict=True):
        assert verdict.score is None and f"{OWN}:returns" in verdict.error, name
        assert "Verdict" in verdict.error or "either a score or an error" in verdict.error, (name, verdict.error)


@pytest.mark.parametrize("what", ["prints", "loop", "alarm", "pool", "plain"])
def test_what_else_a_reward_does_is_its_own_affair(pool, what):
    import time

    found = pool.score([sample(what)], {f"{OWN}:does": 1.0})
    if what == "pool" and SHARED_MEMORY not in pool.workers[0].confined:
        pytest.skip("no shared memory for a worker's locks on this machine")
    worker = pool.workers[0]._process
    time.sleep(0.4 if what == "alarm" else 0)
    assert found + pool.score([sample("plain")], {f"{OWN}:does": 1.0}) == [Verdict(1.0, parts={f"{OWN}:does": 1.0})] * 2
    assert pool.workers[0]._process is worker and worker.poll() is None, "the worker lives on"


def test_a_copy_that_a_reward_forks_gives_no_second_answer(pool):
    forked, other, plain = pool.score([sample(what) for what in ("forks", "input", "plain")], {f"{OWN}:does": 1.0})
    assert forked.score == plain.score == 1.0 and "EOFError" in other.error


@pytest.mark.parametrize(
    ("what", "message"),
    [("input", "raised EOFError"), ("keyboard", "raised KeyboardInterrupt"), ("exit", "raised SystemExit: 3")],
)
def test_what_would_end_a_process_costs_one_verdict_and_no_worker(pool, what, message):
    pool.score([sample("plain")], {f"{OWN}:does": 1.0})
    worker = pool.workers[0]._process
    assert message in pool.score([sample(what)], {f"{OWN}:does": 1.0})[0].error
    assert pool.score([sample("plain")], {f"{OWN}:does": 1.0})[0].score == 1.0
    assert pool.workers[0]._process is worker


def test_reasons_are_text_that_can_be_written(pool):
    found = pool.score([sample(name) for name in ("number", "none", "lone", "pair")], {f"{OWN}:reasons": 1.0})
    name = f"{OWN}:reasons: "
    assert [verdict.reason for verdict in found] == [name + "3", "", name + "甲\ufffd乙", name + "😀"]
    error = pool.score([sample("x")], {f"{OWN}:error_of_its_own": 1.0})[0].error
    assert error == "破\ufffd"
    table = pa.table({"reason": [verdict.reason for verdict in found] + [error]})
    pq.write_table(table, io.BytesIO())
    assert as_text("好") == "好"


@pytest.mark.parametrize(
    ("name", "value", "options"),
    [
        ("scorer", 0.5, {}), ("scorer", 0.75, {"bonus": 0.25}), ("bound", 0.75, {}), ("short", 0.125, {}),
        ("any_options", 3.0, {"a": 1, "b": 2}), ("any_options", 0.0, {}), ("keyword", 2.0, {"scale": 2.0}),
    ],
)  # fmt: skip
def test_anything_that_can_be_called_with_a_sample_is_a_reward(pool, name, value, options):
    parts = {f"{OWN}:{name}": Part(options=options)}
    pool.check(parts)
    assert pool.score([sample("x")], parts)[0].score == value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two", r"called with a sample alone \(missing a required argument: 'reference'\); prompt, completion"),
        ("keyword", "argument: 'scale'.*a value under options"), ("none_at_all", "too many positional arguments"),
        ("named", "called with a sample alone"), ("Scorer", "is a class; name a function, or an instance"),
        ("waits", "async function or a generator; rewards are plain functions: write def"),
        ("waiting", "async function or a generator"), ("yields", "async function or a generator"),
        ("streams", "async function or a generator"), ("number", "is a float, not a function"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_so_is_refused_before_anything_starts(name, message):
    with pytest.raises(ValueError, match=message):
        expand({f"{OWN}:{name}": 1.0})


@pytest.mark.filterwarnings("error")
def test_a_coroutine_is_an_error_that_says_so():
    assert "to be awaited; rewards are plain functions" in score(f"{OWN}:hands_on", sample("x")).error


def test_a_module_that_fails_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "no_python.py").write_text("def f(:\n")
    (tmp_path / "divides.py").write_text("1 / 0\n")
    for name, message in (("no_python", "SyntaxError"), ("divides", "raised ZeroDivisionError")):
        with pytest.raises(ValueError, match=f"the reward {name}:f can't be imported.*{message}"):
            expand({f"{name}:f": 1.0})


def test_running_out_of_memory_names_the_key_to_raise():
    pool = WorkerPool(1, timeout_s=30.0, memory_mb=1024)
    try:
        verdict = pool.score([sample("x")], {f"{OWN}:hungry": 1.0})[0]
        assert "MemoryError" in verdict.error and "1024 MB of address space: raise reward.memory_mb" in verdict.error
        assert math.isfinite(pool.score([sample("float")], {f"{OWN}:returns": 1.0})[0].score)
    finally:
        pool.close()
