"""A user's own benchmark whose names or entries can't be told apart is refused before anything is asked."""

import json

import pytest
import yaml

from rl.errors import UserError
from rl.evaluation.benchmarks.generic import load

ENTRY = {"q": "盗窃罪是刑法第几条？", "a": "264", "id": "one"}


def described(folder, entries, task="basic", file="basic.jsonl", **fields):
    described = {"file": file, "prompt": "{q}", "reference": "a", "metric": "exact", **fields}
    path = folder / "own.yaml"
    path.write_text(yaml.dump({"name": "own", "tasks": {task: described}}, allow_unicode=True), encoding="utf-8")
    lines = "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    (folder / file).write_text(lines, encoding="utf-8")
    return load(path)


@pytest.mark.parametrize("task", ["civil/contract", "../out", "..", ".hidden", "a\0b", "民" * 100, ""])
def test_a_task_is_called_as_its_files_can_be(tmp_path, task):
    with pytest.raises(UserError, match="can't be the name of a task"):
        described(tmp_path, [ENTRY], task=task)


def test_every_question_has_an_id_of_its_own(tmp_path):
    for second, problem in (
        (ENTRY, r"basic.jsonl:2: the id 'one' is also that of .*basic.jsonl:1"),
        (ENTRY | {"id": None}, "field id must hold the id"), ({"q": "问", "a": "答"}, "field id must hold the id"),
    ):  # fmt: skip
        benchmark = described(tmp_path, [ENTRY, second], id="id")
        with pytest.raises(UserError, match=problem):
            benchmark.read(tmp_path, "basic", 0)
    assert [one.id for one in described(tmp_path, [ENTRY, ENTRY]).read(tmp_path, "basic", 0)] == ["0", "1"]


@pytest.mark.parametrize("reference", [None, "", [], ["264", None], [["264"]], True])
def test_a_reference_is_text_before_anything_is_asked(tmp_path, reference):
    with pytest.raises(UserError, match="must hold the reference"):
        described(tmp_path, [ENTRY | {"a": reference}]).read(tmp_path, "basic", 0)
    found = described(tmp_path, [ENTRY | {"a": [264, "二百六十四"]}]).read(tmp_path, "basic", 0)
    assert found[0].reference == ["264", "二百六十四"]


def test_a_file_in_another_encoding_says_so(tmp_path):
    benchmark = described(tmp_path, [ENTRY])
    (tmp_path / "basic.jsonl").write_bytes(json.dumps(ENTRY, ensure_ascii=False).encode("gb18030"))
    with pytest.raises(UserError, match=r"is not UTF-8 .*convert it"):
        benchmark.read(tmp_path, "basic", 0)
