"""``python -m rl.evaluate run`` with a real transformers model, and the questions that are asked."""

import json

import pytest

from rl.evaluate import main as evaluate
from rl.evaluation.asking import TooLong, fitted
from rl.evaluation.benchmark import Question


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
