"""The command that masks files: texts, report, and what it says of files that it can't read."""

import json

from tests.rl.synthesis.pdfs import pdf
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
    assert code == 1 and "c.txt" in said.err and "2 of 3 texts masked" in said.out
    assert (out / "a.txt").read_text("utf-8") == (out / "deep" / "b.txt").read_text("utf-8")
    assert (out / "a.txt").read_text("utf-8").count("张某1") == 2 and not (out / "c.txt").exists()
    report = {line["file"]: line for line in lines(out)}
    assert report["a.txt"]["counts"] == {"person": 4, "phone": 1} and "error" in report["c.txt"]
    assert "张三" not in (out / "report.jsonl").read_text("utf-8")


def test_the_texts_of_a_record_are_masked_as_one_document(tmp_path, capsys):
    records = [
        {"text": TEXT, "n": 7, "meta": {"title": "张三诉李四", "tags": ["13800001111", "民事"]}},
        {"text": TEXT.replace("张三", "王小五"), "a.b": "王小五", "a": {"b": "李四"}},
    ]
    given, out = tmp_path / "a.jsonl", tmp_path / "out"
    given.write_text("".join(json.dumps(one) + "\n" for one in records) + "{\n\n[1]\n" + r'{"text": "\ud800"}')
    code, said = run(capsys, given, "--out", out)
    assert code == 1 and "2 of 5 texts masked" in said.out
    assert all(f"a.jsonl, line {number} is no JSON object" in said.err for number in (3, 5, 6))
    first, second = map(json.loads, (out / "a.jsonl").read_text("utf-8").splitlines())
    assert first["meta"] == {"title": "张某1诉李某1", "tags": ["某电话1", "民事"]} and first["n"] == 7
    assert first["text"] == TEXT.replace("张三", "张某1").replace("李四", "李某1").replace("13800001111", "某电话1")
    assert second["a.b"] == "王某1" and second["a"] == {"b": "李某1"}
    report = lines(out)
    assert report[0]["counts"] == {"person": 6, "phone": 2} and report[1]["line"] == 2
    assert report[0]["fields"]["meta.title"]["values"] == {"person": 2}
    assert [line["line"] for line in report if "error" in line] == [3, 5, 6]


def test_a_pdf_file_becomes_a_masked_text(tmp_path, capsys):
    (tmp_path / "a.pdf").write_bytes(pdf([[(60, 700 - 20 * n, line) for n, line in enumerate(TEXT.splitlines())]]))
    (tmp_path / "b.PDF").write_bytes(b"%PDF-1.7")
    code, said = run(capsys, tmp_path, "--out", tmp_path / "out")
    assert code == 1 and "b.PDF" in said.err
    assert "1 of 2 texts" in run(capsys, tmp_path, "--out", tmp_path / "out")[1].out, "not what it has written"
    text = (tmp_path / "out" / "a.txt").read_text("utf-8")
    assert "张某1" in text and "张三" not in text and "13800001111" not in text


def test_what_can_not_be_done_is_a_sentence(tmp_path, capsys):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text(TEXT, encoding="utf-8")
    for arguments, message in (
        ((tmp_path / "empty", "--out", tmp_path / "out"), "holds no .txt, .pdf, .jsonl file"),
        ((tmp_path / "missing.txt", "--out", tmp_path / "out"), "neither a file nor a folder"),
        ((tmp_path / "a.txt", "--out", tmp_path), "a.txt itself"),
        ((tmp_path / "other", "--out", tmp_path / "other"), "a.txt itself"),
        ((tmp_path / "a.txt", tmp_path / "other" / "a.txt", "--out", tmp_path / "out"), "have one name"),
    ):
        code, said = run(capsys, *arguments)
        assert code == 2 and message in said.err
    assert (tmp_path / "a.txt").read_text("utf-8") == TEXT
