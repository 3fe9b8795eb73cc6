import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from rewards.pool import WorkerPool
from rewards.registry import Part
from rewards.total import compose
from rewards.verdict import Sample
from tests.rewards import misbehaving
from tests.rl.server import Server

OWN = f"{misbehaving.__name__}:badly"
MIX = {"accuracy": 1.0, "format": 0.1, "option_partial": 0.1, "rouge_l": 0.1, "citation": 0.1, "repetition": 0.1}
GOOD = "<think>根据《刑法》第二百六十四条，张{i}秘密窃取手机，A项正确。</think><answer>A</answer>"


def sample(completion):
    return Sample("题目", completion, "A", "choice")


@pytest.fixture(scope="module")
def pool():
    found = WorkerPool(2, timeout_s=3.0, memory_mb=1024)
    yield found
    found.close()


def test_the_pool_gives_what_the_rewards_give(pool):
    samples = [sample(GOOD.replace("{i}", str(i))) for i in range(50)] + [sample("胡说"), sample("\ud83d" + GOOD)]
    assert pool.score(samples, MIX) == [compose(MIX)(s) for s in samples]
    assert pool.score([], MIX) == []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("hang", "no verdict within 3 s"), ("regex", "no verdict within 3 s"), ("crash", "exit status 7"),
        ("signal", "the worker died"), ("exit", "raised SystemExit: 3"), ("raise", "raised RuntimeError: no"),
        ("memory", "MemoryError"), ("read", "raised EOFError"), ("recursion", "RecursionError"),
    ],
)  # fmt: skip
def test_what_goes_wrong_costs_one_verdict(pool, what, message):
    around = ["gut"] * 12
    found = pool.score([sample(text) for text in [*around, what, *around]], {OWN: 1.0})
    assert [verdict.score for verdict in found[:12] + found[13:]] == [0.25] * 24
    assert found[12].score is None and message in found[12].error


def test_what_a_reward_prints_is_no_verdict(pool):
    assert pool.score([sample("print")], {OWN: 1.0})[0].score == 0.25


def test_a_users_rewards_are_tried_before_a_run(pool):
    name = misbehaving.__name__
    pool.check({f"{name}:well": Part(2.0, options={"bonus": 0.5}), "accuracy": 1.0})
    assert pool.score([sample("x")], {f"{name}:well": Part(2.0, options={"bonus": 0.5})})[0].score == 3.0
    for bad, message in (("broken", "KeyError"), ("no_verdict", "not a Verdict"), ("absent", "can't be imported")):
        with pytest.raises(ValueError, match=message):
            pool.check({f"{name}:{bad}": 1.0})
    with pytest.raises(ValueError, match="no option bonsu; it takes bonus"):
        pool.check({f"{name}:well": Part(options={"bonsu": 1})})


def test_no_worker_outlives_its_parent():
    code = (
        "import sys; from rewards.pool import WorkerPool; from rewards.verdict import Sample\n"
        "pool = WorkerPool(1, 1000); s = Sample('q', sys.argv[1], 'A')\n"
        "pool.score([Sample('q', 'gut', 'A')], {sys.argv[2]: 1.0}); print(pool.workers[0]._process.pid, flush=True)\n"
        "pool.score([s], {sys.argv[2]: 1.0})"
    )
    for what in ("hang", "regex"):
        parent = subprocess.Popen([sys.executable, "-c", code, what, OWN], stdout=subprocess.PIPE, text=True)
        worker = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.5)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        worker.wait(10)


def run(*arguments, text=None):
    command = [sys.executable, "-m", "rewards", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=text, timeout=60)


def test_scoring_a_file_from_the_command_line(tmp_path):
    lines = [
        {"prompt": "何罪？", "completion": "<think>x</think><answer>盗窃罪</answer>", "reference": "盗窃"},
        {"completion": "盗窃罪、诈骗罪", "reference": ["盗窃"]},
        {"prompt": [{"role": "user", "content": "何罪？"}], "completion": "不知道", "reference": "盗窃"},
        {"completion": 3},
        {"completion": "盗窃", "reference": ""},
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\nnot json\n")
    answer = run("score", "--reward", "charge_f1", "--input", path)
    found = [json.loads(line) for line in answer.stdout.splitlines()]
    assert answer.returncode == 0, answer.stderr
    assert [record.get("score") for record in found[:3]] == [1.0, pytest.approx(2 / 3), 0.0]
    assert "not asked for 诈骗" in found[1]["reason"]
    assert (
        f"{path}:4" in found[3]["error"] and "names no charge" in found[4]["error"] and f"{path}:6" in found[5]["error"]
    )
    odd = json.dumps({"completion": "<answer>\ud83d甲</answer>", "reference": "乙"})
    answer = run("score", "--reward", "accuracy", "--input", "-", text=odd)
    assert answer.returncode == 0 and json.loads(answer.stdout)["score"] == 0.0
    reference = b'{"completion": "x", "reference": '
    lines = [
        b'\xef\xbb\xbf{"completion": "<answer>a\xe2\x80\xa8b</answer>", "reference": "a b"}\r',
        reference + b"NaN}",
    ]
    lines += [b'{"completion": "x", "completion": "y"}', reference + b'"\xff"}', b"\xff\xfe{\x00"]
    path.write_bytes(b"\n".join(lines))
    answer = run("score", "--reward", "accuracy", "--input", path)
    found = [json.loads(line) for line in answer.stdout.splitlines()]
    assert answer.returncode == 0 and found[0]["score"] == 1.0
    for number, message in enumerate(("NaN is not a JSON", "occurs twice", "not UTF-8", "UTF-16"), start=2):
        assert found[number - 1]["error"].startswith(f"{path}:{number}: ") and message in found[number - 1]["error"]
    mix = tmp_path / "mix.yaml"
    mix.write_text("accuracy: 1.0\nlength: {weight: 0.5, clip: [-0.5, 0], options: {longest: 20, buffer: 10}}\n")
    line = json.dumps({"completion": "<think>" + "理" * 90 + "</think><answer>甲</answer>", "reference": "甲"})
    answer = run("score", "--weights", mix, "--input", "-", "--processes", 2, text=line)
    assert json.loads(answer.stdout) == {
        "score": 0.75, "reason": "length: 123 characters", "parts": {"accuracy": 1.0, "length": -1.0}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reward", "charge_f", "--input", "-"), "did you mean charge_f1"),
        (("--reward", "charge_f1", "--input", "no/such/file"), "No such file"),
        (("--reward", "length", "--options", '{"longst": 1}', "--input", "-"), "it takes longest, buffer"),
        (("--reward", "nowhere:x", "--input", "-"), "can't be imported"),
        (("--reward", "accuracy", "--input", "-", "--processes", "0"), "must be at least 1"),
    ],
)
def test_a_slip_on_the_command_line_is_a_sentence(arguments, message):
    answer = run("score", *arguments, text="")
    assert answer.returncode == 2 and message in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.parametrize("option", ["--judge", "--judge-url"])
def test_a_served_judge_decides_its_part_of_a_sum(tmp_path, monkeypatch, option):
    monkeypatch.setenv("JUDGE_API_KEY", "k")
    mix = tmp_path / "mix.yaml"
    mix.write_text("accuracy: 1.0\nlegal_validity: 0.5\n")
    line = json.dumps({"prompt": "何罪？", "completion": "<think>理</think><answer>甲</answer>", "reference": "甲"})
    with Server(lambda body: json.dumps({"reason": "半对", "points": 1})) as server:
        answer = run("score", "--weights", mix, "--input", "-", option, server.url, "--judge-model", "m", text=line)
    found = json.loads(answer.stdout)
    assert found["score"] == 1.25 and found["parts"] == {"accuracy": 1.0, "legal_validity": 0.5}, "1 of 2 points"
    assert len(server.asked) == 1 and server.keys == {"Bearer k"}


def test_the_list_names_every_reward():
    answer = run("list")
    assert answer.returncode == 0 and "legal_validity" in answer.stdout and "unilaw" in answer.stdout
