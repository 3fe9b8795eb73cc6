"""The command that masks files: texts, report, and what it says of files that it can't read."""

import json

from tools.mask import main

TEXT = (
    "原告：张三，男，1980年1月1日出生，手机13800001111。\n被告：李四，女，1981年1月1日出生。张三与李四借款纠纷一案。\n"
)


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr()


def lines(folder):
    return [json.loads(line) for line in (folder / "report.jsonl").read_text("utf-8").splitlines()]


def test_a_folder_is_masked_with_a_report_that_holds_no_personal_data(tmp_path, capsys):
    given, out = tmp_path / "given", tmp_path / "out"
    (given / "deep").mkdir(parents=True)
    (given / "a.txt").write_text(TEXT, encoding="utf-8")
    (given / "deep" / "b.txt").write_bytes(TEXT.encode("gb18030"))
    (given / "c.txt").write_bytes(b"\x00\xff\x00")
    code, said = run(capsys, given, "--out", out)
    assert code == 1 and "c.txt" in said.err and "2 of 3 files masked" in said.out
    assert (out / "a.txt").read_text("utf-8") == (out / "deep" / "b.txt").read_text("utf-8")
    assert (out / "a.txt").read_text("utf-8").count("张某1") == 2 and not (out / "c.txt").exists()
    report = {line["file"]: line for line in lines(out)}
    assert report["a.txt"]["counts"] == {"person": 4, "phone": 1} and "error" in report["c.txt"]
    assert "张三" not in (out / "report.jsonl").read_text("utf-8")


def test_what_can_not_be_done_is_a_sentence(tmp_path, capsys):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text(TEXT, encoding="utf-8")
    for arguments, message in (
        ((tmp_path / "empty", "--out", tmp_path / "out"), "holds no .txt file"),
        ((tmp_path / "missing.txt", "--out", tmp_path / "out"), "neither a file nor a folder"),
        ((tmp_path / "a.txt", "--out", tmp_path), "holds"),
        ((tmp_path / "a.txt", tmp_path / "other" / "a.txt", "--out", tmp_path / "out"), "have one name"),
    ):
        code, said = run(capsys, *arguments)
        assert code == 2 and message in said.err
    assert (tmp_path / "a.txt").read_text("utf-8") == TEXT
