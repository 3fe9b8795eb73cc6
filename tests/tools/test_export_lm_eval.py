"""The exported tasks of lm-evaluation-harness: their files, and their pattern and metric by hand."""

import importlib.util
import json
import re
import subprocess
import sys
from itertools import product

import pytest
import yaml

from curricula.tasks import TASKS
from tools import export_lm_eval

FEW = 6


class Loader(yaml.SafeLoader):
    """Reads ``!function file.name`` as the harness does, without importing it."""


Loader.add_constructor("!function", lambda loader, node: f"function {node.value}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "themis"
    assert export_lm_eval.main(["--out", str(out), "--questions", str(FEW)]) == 0
    return out


def config(path):
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


def lines(folder, task):
    return [json.loads(line) for line in (folder / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()]


def extracted(task, completion):
    """The result of the harness's filters ``regex`` and ``take_first`` on a completion."""
    regex, first = task["filter_list"][0]["filter"]
    assert (regex["function"], first["function"]) == ("regex", "take_first")
    found = re.compile(regex["regex_pattern"]).findall(completion)
    return found[regex["group_select"]].strip() if found else regex["fallback"]


def exact_match(task, prediction, reference):
    """The harness's metric of one pair."""
    (metric,) = task["metric_list"]
    assert metric["metric"] == "exact_match" and metric["ignore_case"] and not metric["ignore_punctuation"]
    for pattern in metric["regexes_to_ignore"]:
        prediction, reference = re.sub(pattern, "", prediction), re.sub(pattern, "", reference)
    return float(prediction.lower() == reference.lower())


def test_every_task_has_its_files_and_the_group_names_them(folder):
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for group, name in product(("themis", "themis_cot"), TASKS):
        whole = config(folder / f"{group}.yaml")
        assert whole["task"] == [f"{group}_{name}" for name in TASKS]
        assert whole["aggregate_metric_list"][0]["filter_list"] == "answer"
        task = config(folder / f"{group}_{name}.yaml")
        assert task["task"] == f"{group}_{name}" and task["output_type"] == "generate_until"
        assert ("请先思考" in task["doc_to_text"]) == (group == "themis_cot")
        assert task["dataset_kwargs"] == {"file": f"{name}.jsonl"}
        assert task["custom_dataset"] == "function questions.load"
        assert {"test", "shots"} == {row["split"] for row in lines(folder, name)} and f"`themis_{name}`" in readme
        fields = set(re.findall(r"{{(\w+)}}", task["doc_to_text"] + task["doc_to_target"]))
        assert fields == {"question", "answer"} <= set(lines(folder, name)[0])


@pytest.mark.parametrize("name", TASKS)
def test_demonstrations_are_right_and_other_answers_wrong(folder, name):
    task, rows = config(folder / f"themis_{name}.yaml"), lines(folder, name)
    for row in rows:
        assert exact_match(task, extracted(task, row["demonstration"]), row["answer"]) == 1.0
        other = next((one["answer"] for one in rows if not exact_match(task, one["answer"], row["answer"])), "不明")
        for wrong in (
            row["answer"],
            f"<answer>{other}</answer>",
            f"{row['demonstration']}<answer>{other}</answer>",
            "",
        ):
            assert exact_match(task, extracted(task, wrong), row["answer"]) == 0.0


def test_the_last_block_counts_and_a_point_is_no_punctuation(folder):
    task = config(folder / "themis_age.yaml")
    assert extracted(task, "<answer>甲</answer>……<answer>\n乙 </answer>完") == "乙"
    assert extracted(task, "<answer>甲<answer>乙</answer>") == "乙" and extracted(task, "<answer>甲") == "[none]"
    assert exact_match(task, "a、B。", "AB") == 1.0 and exact_match(task, "1.5", "15") == 0.0
    assert extracted(task, "<answer>" * 20_000) == "[none]"


def test_the_questions_are_read_from_any_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    spec = importlib.util.spec_from_file_location("questions", folder / "questions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.load(file="age.jsonl", version=1)
    assert len(found["test"]) == FEW and set(found["shots"]["split"]) == {"shots"}
    assert (
        found["test"][0]["question"] == next(row for row in lines(folder, "age") if row["split"] == "test")["question"]
    )


def test_a_second_export_leaves_no_task_of_the_first(tmp_path):
    export_lm_eval.export(tmp_path, ["age", "charge"], questions=2)
    export_lm_eval.export(tmp_path, ["age"], questions=2)
    names = ["themis.yaml", "themis_age.yaml", "themis_cot.yaml", "themis_cot_age.yaml"]
    assert sorted(path.name for path in tmp_path.glob("*.yaml")) == names


def test_lengths_fit_the_model_that_is_to_answer(models, tmp_path):
    words = ["--out", str(tmp_path), "--tasks", "age", "--questions", "2"]
    for more, tokens in ((["--model", str(models["tied"])], 128), ([], 1024)):
        assert export_lm_eval.main([*words, *more]) == 0
        assert config(tmp_path / "themis_cot_age.yaml")["generation_kwargs"]["max_gen_toks"] == tokens
        assert f"has {tokens} tokens at" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_what_can_not_be_exported_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "deploy.yaml").write_text("")
    for arguments, message in (
        (["--tasks", "agee"], "did you mean age"), (["--questions", "0"], "at least 1"),
        (["--out", str(tmp_path / "file")], "is a file"), (["--out", str(tmp_path / "other")], "holds deploy.yaml"),
        (["--model", str(tmp_path)], "does not say max_position_embeddings"),
    ):  # fmt: skip
        assert export_lm_eval.main(["--out", str(tmp_path / "x"), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_the_export_needs_no_torch_or_ray(tmp_path):
    code = (
        "import sys; from tools.export_lm_eval import main; main(['--out', sys.argv[1], '--tasks', 'age']); "
        "print([name for name in ('torch', 'ray', 'vllm') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1] == "[]", answer.stderr
