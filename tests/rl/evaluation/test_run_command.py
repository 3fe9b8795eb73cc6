"""``python -m rl.evaluate run`` with a real transformers model, and the questions that are asked."""

import json
import re

import pytest

from rl import evaluation
from rl.errors import UserError
from rl.evaluate import main as evaluate
from rl.evaluation.asking import TooLong, fitted
from rl.evaluation.benchmark import Question
from rl.evaluation.options import Options
from tests.rl.server import Server
from tools.commands import parser_of


def test_as_many_examples_as_fit():
    question = Question("q", "问" * 10, "", system="系" * 5, shots=(("甲" * 20, "乙" * 5),) * 3)

    def count(messages):
        return sum(len(text) for _, text in messages)

    assert [fitted(question, count, room, 10)[1] for room in (None, 200, 100, 99, 74, 50, 49, 16)] == [
        3, 3, 3, 2, 1, 1, 0, 0,
    ]  # fmt: skip
    assert [role for role, _ in fitted(question, count, 74, 10)[0]] == ["system", "user", "assistant", "user"]
    with pytest.raises(TooLong, match="15 tokens of 15"):
        fitted(question, count, 15, 10)


def test_a_run_is_scored_and_goes_on_without_asking_again(models, tmp_path, capsys):
    arguments = ["run", "--benchmark", "held_out", "--tasks", "age", "exam_single", "--model", str(models["tied"])]
    arguments += ["--backend", "transformers", "--max-tokens", "8", "--shots", "2", "--out", str(tmp_path / "out")]
    assert evaluate([*arguments, "--limit", "3"]) == 0
    assert "6 answers" in capsys.readouterr().out
    assert evaluate([*arguments, "--limit", "5"]) == 0
    assert "4 answers" in capsys.readouterr().out, "what is known is not asked again"
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert {name: task["n"] for name, task in scores["tasks"].items()} == {"age": 5, "exam_single": 5}
    assert len(scores["tasks"]["age"]["interval"]) == 2 and scores["shots"] == 2
    assert evaluate([*arguments, "--limit", "5", "--seed", "1"]) == 2
    assert "holds answers with seed=0, and now seed=1 is asked for" in capsys.readouterr().err
    scored = tmp_path / "out" / "scored" / "age.jsonl"
    rows = scored.read_text().splitlines()
    row = json.loads(rows[0]) | {"verdict": {"score": 0.5, "reason": "<script>", "parts": {"clarity": 0.25}}}
    scored.write_text("\n".join([json.dumps(row), *rows[1:]]) + "\n")
    page = tmp_path / "page.html"
    assert evaluate(["--report", str(tmp_path / "out"), str(tmp_path / "out"), "--out", str(page)]) == 0
    text = page.read_text()
    assert "exam single" in text and "clarity" in text and "&lt;script&gt;" in text and "<script" not in text
    assert evaluate(["report", str(tmp_path)]) == 2


def test_questions_that_are_too_long_count_as_not_answered(models, tmp_path, capsys):
    arguments = ["run", "--benchmark", "held_out", "--tasks", "age", "--model", str(models["tied"]), "--limit", "2"]
    arguments += ["--backend", "transformers", "--max-length", "16", "--out", str(tmp_path)]
    assert evaluate(arguments) == 0 and "2 too long to be asked" in " ".join(capsys.readouterr().out.split())
    task = json.loads((tmp_path / "scores.json").read_text())["tasks"]["age"]
    assert (task["score"], task["abstention_rate"], task["answered"]) == (0.0, 1.0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "held_out", "--tasks", "agee", "--model", "m"], "has no task agee"),
        (["--benchmark", "held_out", "--model", "m", "--samples", "2"], "gives the same answer every time"),
        (["--benchmark", "held_out"], "--backend vllm needs --model"),
        (["--benchmark", "held_out", "--server", "http://127.0.0.1:9/v1"], "--served-model"),
        (
            ["--benchmark", "held_out", "--tasks", "age", "--model", "./nowhere", "--backend", "transformers"],
            "is not a folder",
        ),
        (["--benchmark", "held_out", "--model", "m", "--judge", "http://127.0.0.1:9/v1"], "--judge-model"),
    ],
)
def test_a_slip_is_a_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.delenv("THEMIS_BENCHMARKS", raising=False)
    assert evaluate(["run", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_from_python_it_is_the_command(tmp_path):
    with Server(lambda body: "<think>无</think><answer>十六</answer>", length=4096) as server:
        arguments = ["--server", server.url, "--served-model", "m", "--tasks", "age", "charge", "--limit", "6"]
        assert evaluate(["run", "--benchmark", "held_out", "--out", str(tmp_path / "command"), *arguments]) == 0
        asked = len(server.asked)
        options = {"server": server.url, "served_model": "m", "tasks": ["age", "charge"], "limit": 6}
        found = evaluation.evaluate("held_out", tmp_path / "python", **options)
        assert asked == 12 and len(server.asked) == 24
        assert evaluation.evaluate("held_out", tmp_path / "python", **options) == found and len(server.asked) == 24
    for name in ("scores.json", "answers/age.jsonl", "scored/charge.jsonl"):
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "command" / name).read_bytes(), name
    assert found == json.loads((tmp_path / "python" / "scores.json").read_text())
    assert found["tasks"]["age"]["n"] == 6


def test_a_run_in_chinese_prints_no_english(tmp_path, capsys, monkeypatch):
    """Except names: of the benchmark, of its tasks and of files."""
    monkeypatch.delenv("THEMIS_BENCHMARKS", raising=False)
    with Server(lambda body: "<think>无</think><answer>十六</answer>", length=64) as server:
        arguments = ["--server", server.url, "--served-model", "m", "--tasks", "age", "charge", "--limit", "2"]
        arguments += ["--max-tokens", "8", "--out", str(tmp_path), "--lang", "zh"]
        assert evaluate(["run", "--benchmark", "held_out", *arguments]) == 0
        broken = tmp_path / "answers" / "age.jsonl"
        broken.write_text(broken.read_text() + '{"key": "age/')
        assert evaluate(["run", "--benchmark", "held_out", *arguments]) == 0
    printed = re.sub("Held-out questions of Themis|age|charge", "", " ".join(capsys.readouterr().out.split()))
    assert not re.findall(r"\b[a-z]{2,} [a-z]{2,}\b", printed), printed
    for text in (
        "最后一行只写了一半，已丢弃",
        "个 token",
        "（%，95 % 区间）",
        "任务",
        "区间",
        "修正",
        "未作答",
        "2 个任务",
    ):
        assert text in printed, text


def test_every_option_of_the_command_has_a_type():
    parser = parser_of("rl.evaluate run")
    known = {action.dest for action in parser._actions} - {"help", "benchmark", "out"}
    assert Options.__annotations__.keys() == known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "no option temprature; did you mean temperature"),
        ({"model": "m", "limit": 0}, "--limit: 0 is less than 1"),
        ({"model": "m", "backend": "vlm"}, "invalid choice: 'vlm'"),
        ({"model": "m", "tasks": "agee"}, "has no task agee"),
        ({"model": "./nowhere", "tasks": [], "backend": "transformers"}, "is not a folder"),
        ({"model": "m", "samples": 2}, "gives the same answer every time"),
        ({"server": "http://127.0.0.1:9/v1", "judge": None}, "--served-model"),
    ],
)
def test_a_slip_from_python_is_a_user_error(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        evaluation.evaluate("held_out", tmp_path, **options)
