"""The command that shows which law is read."""

import json
import os

import pytest

from curricula.statutes import law_setting, use_law
from tools.statutes import main

DAY = ["--as-of", "2026-11-26"]


@pytest.fixture(autouse=True)
def law():
    before = law_setting()
    yield
    use_law(before.as_of, before.folder)


def states(capsys, *arguments):
    code = main(["check", "--json", *arguments])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, {(line["amendment"].removeprefix("中华人民共和国"), line["number"]): line["state"] for line in lines}


def test_the_law_carries_every_amendment(capsys):
    code, found = states(capsys, *DAY)
    assert code == 0 and "missing" not in found.values()
    assert {state for (title, _), state in found.items() if title == "刑法修正案（十二）"} == {"applied"}
    assert {state for (title, _), state in found.items() if title == "刑法修正案（十一）"} == {"carried"}
    assert (
        found["刑法修正案（九）", "条目四十五"] == "superseded" and found["刑法修正案（九）", "条目十二"] == "deleted"
    )
    _, before = states(capsys, "--as-of", "2024-02-29")
    assert {state for (title, _), state in before.items() if title == "刑法修正案（十二）"} == {"not yet"}


def test_an_amendment_that_is_not_in_the_law_is_told(tmp_path, capsys):
    (tmp_path / "xiii.txt").write_text(
        "---\nlaw: 刑法修正案（十三）\namends: 刑法\nadopted: 2020-12-01\neffective: 2020-12-02\n---\n"
        "一、将刑法第二条修改为：“子丑寅卯。”\n", encoding="utf-8",
    )  # fmt: skip
    code, found = states(capsys, *DAY, "--laws", str(tmp_path))
    assert code == 1 and found["刑法修正案（十三）", "条目一"] == "missing", "older than the text, which lacks it"


def test_a_law_and_an_article_are_shown(capsys):
    assert main(["show", "合同法", *DAY]) == 0
    assert "合同法 was repealed on 2021-01-01 and replaced by 民法典" in capsys.readouterr().out
    assert main(["show", "刑法", "393", *DAY]) == 0
    out = capsys.readouterr().out
    assert (
        "第三百九十三条 单位为谋取不正当利益" in out
        and "law in force on 2026-11-26; newest text of the package 2026-08-28" in out
    )
    assert main(["check", *DAY]) == 0 and "医疗保障法 takes effect on 2027-01-01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "甲乙丙法"], "hold nothing named 甲乙丙法"),
        (["show", "刑法", "999"], "刑法 has no article 999"),
        (["show", "注册会计师法", "2"], "is not known"),
        (["check", "--as-of", "gestern"], "is not a day"),
        (["check", "--laws", "nirgends"], "is not a folder"),
    ],
)
def test_what_is_wrong_is_a_sentence(arguments, said, capsys):
    assert main(arguments) == 2 and said in capsys.readouterr().err
    assert os.environ["THEMIS_LAW_DATE"]
