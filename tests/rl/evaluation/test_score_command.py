"""``python -m rl.evaluate score`` and ``list`` on files as LexEval, LegalKit and the official scorers write them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rl.errors import UserError
from rl.evaluate import COMMANDS, main
from rl.evaluation.benchmarks import find
from rl.evaluation.run_command import read_tasks
from rl.evaluation.score_command import confidence, score_all, score_task


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def data(tmp_path):
    """A root with three questions of LexEval's 1_2 and two of 5_3."""
    rows = [
        {"instruction": "选。\n", "input": f"问{n}", "answer": letters} for n, letters in enumerate(("A", "BC", "D"))
    ]
    lines(tmp_path / "root" / "LexEval" / "data" / "1_2.json", rows)
    rows = [{"instruction": "译。\n", "input": "x", "answer": text} for text in ("法不闻细微", "合同无效")]
    lines(tmp_path / "root" / "LexEval" / "data" / "5_3.json", rows)
    return tmp_path / "root"


SHAPES = (
    [{"id": 0, "prediction": "A"}, {"id": 1, "prediction": "CB"}, {"id": 2, "prediction": "A"}],
    {"0": "A", "1": "CB", "2": "A"},
    {"1_2": ["bad"], "tasks": {"1_2": {"0": "A", "1": "CB", "2": "A"}}},
    {"1_2": [{"id": n, "prediction": text} for n, text in enumerate(("A", "CB", "A"))], "1_3": []},
    {"task": "1_2", "predictions": {"0": {"prediction": "A"}, "1": "CB", "2": "A"}},
)


@pytest.mark.parametrize("shape", SHAPES)
def test_legalkits_shapes_with_the_authors_data(tmp_path, capsys, data, shape):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(shape))
    code, out, _ = run(
        capsys, "score", "--benchmark", "lexeval", "--task", "1_2", "--predictions", path, "--root", data, "--json"
    )
    found = json.loads(out)
    assert code == 0 and list(found)[:4] == ["score", "abstention_rate", "fixed", "n"]
    assert found == {"score": pytest.approx(1 / 3), "abstention_rate": 0.0, "fixed": pytest.approx(2 / 3), "n": 3}


def test_lexevals_own_output_brings_its_references(tmp_path, capsys):
    rows = [{"input": "问", "output": "A", "answer": "A"}, {"input": "问", "output": "分析", "answer": None}]
    path = lines(tmp_path / "gpt4_3_5.jsonl", rows)
    code, out, _ = run(capsys, "score", "--benchmark", "lexeval", "--task", "3_5", "--predictions", path, "--json")
    assert code == 0
    assert json.loads(out) == {"score": 0.5, "abstention_rate": 0.5, "fixed": 1.0, "n": 2}


@pytest.mark.parametrize(
    ("benchmark", "task", "references", "said"),
    [
        (
            "lawbench",
            "3-6",
            ["正确答案：A", ""],
            "1 of 2 questions of LawBench, task 3-6, have no reference (the first",
        ),
        ("disc", "qa", ["甲", None], "1 of 2 questions of DISC"),
        ("lexeval", "5_3", ["", None], "2 of 2 questions of LexEval"),
    ],
)
def test_a_missing_reference_is_no_wrong_answer(tmp_path, capsys, benchmark, task, references, said):
    rows = [{"id": n, "prediction": "甲", "reference": one} for n, one in enumerate(references)]
    path = lines(tmp_path / "p.jsonl", rows)
    code, out, error = run(capsys, "score", "--benchmark", benchmark, "--task", task, "--predictions", path)
    assert code == 2 and not out and said in error and "--data" in error


def test_questions_without_references_are_not_asked(tmp_path, data):
    folder = tmp_path / "lexeval" / "data"
    lines(folder / "1_2.json", [{"instruction": "选。", "input": "甲？", "answer": ""}])
    with pytest.raises(UserError, match="1 of 1 questions of LexEval, task 1_2, have no reference"):
        read_tasks(find("lexeval"), ["1_2"], tmp_path, 0, None)


def test_a_folder_of_lexevals_outputs_is_scored_whole(tmp_path, capsys, data, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    folder = tmp_path / "gpt4"
    lines(folder / "gpt4_1_1.jsonl", [{"input": "问", "output": "A", "answer": "A"}] * 4)
    lines(folder / "gpt4_1_2.jsonl", [{"output": text, "answer": "?"} for text in ("A", "BC", "A")])
    lines(folder / "gpt4_5_3.jsonl", [{"output": "法不闻细微", "answer": "?"}, {"output": "", "answer": "?"}])
    command = ("score", "--benchmark", "lexeval", "--predictions", folder, "--root", data)
    code, out, _ = run(capsys, *command, "--json")
    found = json.loads(out)
    assert code == 0 and list(found["tasks"]) == [
        "1_1",
        "1_2",
        "5_3",
    ]  # 1_1's data is missing, its own answers are used
    assert found["tasks"]["1_2"]["score"] == pytest.approx(2 / 3) and found["tasks"]["1_1"][
        "interval"
    ] == pytest.approx([0.5101, 1], abs=1e-4)
    assert found["tasks"]["1_1"]["contaminated"] == "JEC-QA" and "contaminated" not in found["tasks"]["1_2"]
    assert found["tasks"]["5_3"]["score"] == pytest.approx(0.5) and found["tasks"]["5_3"]["abstention_rate"] == 0.5
    assert found["mean"]["score"] == pytest.approx((1 + 2 / 3 + 0.5) / 3)
    code, out, _ = run(capsys, *command)
    assert code == 0 and "contains JEC-QA" in out and "0.6667" in out and "3 tasks" in out
    code, out, _ = run(capsys, *command, "--lang", "zh")
    assert code == 0 and "包含 JEC-QA 的题目" in out and "3 个任务" in out and "得分" in out
    assert not re.findall(r"contains|tasks|score|abstained|note|mean", out)
    code, out, _ = run(capsys, *command, "--task", "1_1", "--lang", "zh")
    assert code == 0 and re.search(r"95% [\d.]+ 到 [\d.]+\n包含 JEC-QA 的题目", out)


def test_legalkits_shards_are_put_together(tmp_path, data):
    folder = tmp_path / "run" / "predict" / "1_2"
    for worker, ids in enumerate(((0, 2), (1,))):
        rows = [{"id": n, "prompt": "", "prediction": ("A", "BC", "D")[n], "gold": ""} for n in ids]
        (folder.parent / "1_2").mkdir(parents=True, exist_ok=True)
        (folder / f"1_2_{worker}.json").write_text(json.dumps(rows))
    benchmark = find("lexeval")
    found, questions = score_task(benchmark, "1_2", tmp_path / "run", data / "LexEval")
    assert (found.score, questions, [one.id for one in found.per_question]) == (1.0, 3, ["0", "1", "2"])
    assert confidence(found) == pytest.approx((0.4385, 1.0), abs=1e-4)


def test_one_file_may_hold_every_task(tmp_path, data):
    path = tmp_path / "all.json"
    path.write_text(
        json.dumps({"tasks": {"5_3": {"0": "法不闻细微", "1": "无效"}, "1_2": {"0": "A", "1": "A", "2": "A"}}})
    )
    found = score_all(find("lexeval"), path, data / "LexEval")
    assert list(found) == ["1_2", "5_3"] and found["1_2"][0].score == pytest.approx(1 / 3)


def test_jecqa_takes_the_official_answer_file_and_legalkits_names(tmp_path, capsys):
    rows = [
        {"id": "0_7", "statement": "问", "option_list": {"A": "甲"}, "answer": ["A"]},
        {"id": "0_9", "statement": "问", "option_list": {"A": "甲"}, "answer": ["A", "C"]},
    ]
    lines(tmp_path / "JEC-QA" / "0_test.json", rows)
    (tmp_path / "answer.txt").write_text(json.dumps({"0_9": ["C", "A"], "0_7": []}))
    (tmp_path / "legalkit.json").write_text(
        json.dumps({"0_test": [{"id": 0, "prediction": "A"}, {"id": 1, "prediction": "B"}]})
    )
    command = ("score", "--benchmark", "jecqa", "--root", tmp_path, "--json", "--predictions")
    code, out, _ = run(capsys, *command, tmp_path / "answer.txt", "--task", "kd")
    assert code == 0
    assert json.loads(out) == {"score": 0.5, "abstention_rate": 0.5, "fixed": 0.5, "n": 2, "kds": 0.0, "kda": 0.5}
    code, out, _ = run(capsys, *command, tmp_path / "legalkit.json")
    assert code == 0 and json.loads(out)["tasks"]["kd"]["kds"] == 1.0


def test_cail2019_and_judge_take_their_official_outputs(tmp_path, capsys):
    gold = [[{"sentence": "甲", "labels": ["LN5"]}, {"sentence": "乙", "labels": []}]]
    data = lines(tmp_path / "CAIL2019" / "loan" / "test.json", gold)
    given = lines(
        tmp_path / "output.json", [[{"sentence": "甲", "labels": ["LN5"]}, {"sentence": "乙", "labels": ["LN1"]}]]
    )
    command = ("score", "--benchmark", "cail2019", "--task", "loan", "--data", data, "--json", "--predictions", given)
    code, out, _ = run(capsys, *command)
    assert code == 0 and json.loads(out)["micro"] == pytest.approx(2 / 3)
    text = (
        "本院认为，依照《中华人民共和国刑法》第二百六十四条，判决如下：被告人犯盗窃罪，判处拘役三个月，并处罚金一千元。"
    )
    expected = lines(tmp_path / "expected.jsonl", [{"id": "x", "document": text}])
    given = lines(tmp_path / "mine.jsonl", [{"id": "x", "document": text.replace("三个月", "二个月")}])
    code, out, _ = run(
        capsys, "score", "--benchmark", "judge_doc", "--data", expected, "--json", "--predictions", given
    )
    assert code == 0 and json.loads(out)["tasks"]["document"]["term"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "9_9", "--predictions", "p.json"], "LexEval has no task 9_9; its tasks are 1_1, 1_2"),
        (["--task", "1_2", "--predictions", "p.json", "--data", "none"], "none does not exist"),
        (["--task", "1_2", "--predictions", "p.json"], "entry 0: no reference; give the benchmark's"),
        (["--task", "1_2", "--predictions", "twice.json"], "two predictions with this id"),
        (["--task", "1_2", "--predictions", "p.json", "--root", "root"], "2 questions have no prediction, the first"),
        (["--task", "5_3", "--predictions", "many.json", "--root", "root"], "entry 2: the benchmark has no such"),
        (["--predictions", "empty"], "found no predictions of LexEval; name files by their tasks"),
        (["--predictions", "models"], "give one model's folder"),
    ],
)  # fmt: skip
def test_what_can_not_be_scored_is_a_sentence(tmp_path, capsys, data, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("p.json").write_text('{"0": "A"}')
    Path("many.json").write_text(json.dumps({str(n): "A" for n in range(3)}))
    Path("twice.json").write_text('[{"id": 0, "prediction": "A"}, {"id": 0, "prediction": "B"}]')
    Path("empty").mkdir()
    for model in ("one", "two"):
        lines(tmp_path / "models" / model / "1_2.jsonl", [{"output": "A", "answer": "A"}])
    code, _, err = run(capsys, "score", "--benchmark", "lexeval", *arguments)
    assert code == 2 and err.startswith("error: ") and message in err


def test_list_shows_which_data_is_there(capsys, data):
    (data / "LexEval" / "data" / "1_3.json").write_text("{}")
    code, out, _ = run(capsys, "list", "--root", data, "--json")
    found = json.loads(out)
    assert code == 0 and found["lexeval"]["1_2"] == "3 questions" and found["lexeval"]["1_1"] == "missing"
    assert found["lexeval"]["1_3"].startswith("damaged: ") and set(found["lawbench"].values()) == {"missing"}
    assert found["held_out"]["age"] == "400 questions", "our own are made from the statutes, wherever the root"
    code, out, _ = run(capsys, "list", "--benchmark", "lawbench")
    assert code == 0 and "open-compass/LawBench" in out and "lexeval" not in out
    code, out, _ = run(capsys, "list", "--benchmark", "held_out")
    assert code == 0 and "made from the statutes" in out and "400 questions" in out


TAX = """
name: tax
title: Tax questions
tasks:
  basic:
    file: basic.csv
    prompt: "{question}（{unit}）"
    reference: answer
    metric: METRIC
    id: key
    facets: [unit]
"""


@pytest.mark.parametrize(
    ("metric", "predictions", "scores"),
    [
        ("exact", ["五万元", "B"], [1, 0]), ("number", ["税额为3元，共50,000元", "没有"], [1, 0]),
        ("rouge_l", ["五万元", ""], [1, 0]),
    ],
)  # fmt: skip
def test_a_benchmark_of_ones_own(tmp_path, capsys, metric, predictions, scores):
    (tmp_path / "tax").mkdir()
    (tmp_path / "tax" / "basic.csv").write_text("key,question,unit,answer\na,税额,元,五万元\nb,税率,元,五万元\n")
    (tmp_path / "tax.yaml").write_text(TAX.replace("METRIC", metric))
    benchmark = find(str(tmp_path / "tax.yaml"))
    questions = benchmark.read(tmp_path / "tax", "basic", 0)
    assert questions[0].prompt == "税额（元）" and questions[0].facets == {"unit": "元"} and questions[1].id == "b"
    assert [one.score for one in benchmark.score("basic", questions, predictions).per_question] == scores
    (tmp_path / "p.json").write_text(json.dumps(dict(zip("ab", predictions, strict=True))))
    command = ("--benchmark", tmp_path / "tax.yaml", "--predictions", tmp_path / "p.json", "--root", tmp_path, "--json")
    code, out, _ = run(capsys, "score", *command)
    assert code == 0 and json.loads(out)["tasks"]["basic"]["score"] == sum(scores) / 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("metric: METRIC", "metric: bleu", "task basic: metric is 'bleu'; use one of exact, choice, f1, rouge_l"),
        ("    file: basic.csv\n", "", "task basic: key file is missing"),
        ("facets: [unit]", "facets: unit", "must be list"),
        ("title: Tax", "titel: Tax", "unknown key titel"), ("{question}（{unit}）", "问", "prompt names no field"),
        ("name: tax", "name: [", "can't be read as a benchmark in YAML"),
        ("name: tax", "name: !!python/object/apply:os.getcwd []", "can't be read as a benchmark in YAML"),
    ],
)  # fmt: skip
def test_a_damaged_description_is_a_sentence(tmp_path, capsys, old, new, message):
    (tmp_path / "tax.yaml").write_text(TAX.replace(old, new).replace("METRIC", "choice"))
    code, _, err = run(capsys, "score", "--benchmark", tmp_path / "tax.yaml", "--predictions", tmp_path)
    assert code == 2 and message in err


def test_a_field_that_an_entry_lacks_is_reported(tmp_path):
    (tmp_path / "tax.yaml").write_text(TAX.replace("METRIC", "choice"))
    (tmp_path / "basic.csv").write_text("key,question,answer\na,税额,A\n")
    benchmark = find(str(tmp_path / "tax.yaml"))
    with pytest.raises(Exception, match=r"basic\.csv, row 0: the prompt names field unit; found key, question, answer"):
        benchmark.read(tmp_path, "basic", 0)


def test_scoring_loads_no_model(tmp_path):
    path = lines(tmp_path / "1_2.jsonl", [{"output": "A", "answer": "A"}])
    arguments = ["score", "--benchmark", "lexeval", "--task", "1_2", "--predictions", str(path), "--json"]
    program = (
        "import sys; from rl.evaluate import main; code = main(sys.argv[1:]); "
        "print(sorted({'torch', 'vllm', 'ray', 'transformers'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]"


def test_unknown_commands_are_reported(capsys):
    assert main([]) == 2 and main(["scroe"]) == 2
    said = capsys.readouterr().err
    assert all(command in said for command in COMMANDS)
    assert main(["--help"]) == 0
