"""The check of training data for test questions."""

import json

import pytest

from tools.contamination import frame, main, plain

STEM = "甲乘夜潜入乙家窃得现金五千元，出门时被乙发现，甲为抗拒抓捕将乙打成轻伤，甲的行为应如何定性？"
OTHER = "丙公司与丁公司签订建设工程施工合同，工程竣工后丁公司拒绝支付剩余工程款，丙公司可以主张什么权利？"
INSTRUCTION = "请阅读以下选择题给出正确选项，不要解释原因。请只给出答案的序号。\n"


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path):
    rows = [{"instruction": INSTRUCTION, "input": text, "answer": "A"} for text in (STEM, OTHER)]
    lines(tmp_path / "root" / "LexEval" / "data" / "1_2.json", rows)
    return tmp_path / "root"


def check(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr()


def test_a_question_inside_a_record_is_found_whatever_stands_around_it(tmp_path, capsys, root):
    spaced = STEM.replace("，", ", ").replace("元", "元 ")
    rows = [{"prompt": OTHER[:10], "reference": "无"}, {"prompt": f"案例题：{spaced}请分析。" * 2, "reference": "抢劫"}]
    training = lines(tmp_path / "train.jsonl", rows)
    code, said = check(capsys, training, "--benchmarks", "lexeval", "--root", root)
    assert code == 1
    assert "lexeval 1_2 question 0: 100% of its n-grams in train.jsonl:2" in said.out and "question 1" not in said.out
    assert "no data of lexeval 1_1" in said.out


def test_a_reworded_question_is_found_by_minhash(tmp_path, capsys, root):
    changed = STEM.replace("五千", "伍仟").replace("轻伤", "微伤")  # few 13-grams are left whole with --share 0.9
    training = lines(tmp_path / "train.jsonl", [{"text": INSTRUCTION + changed}])
    command = (training, "--benchmarks", "lexeval:1_2", "--root", root, "--share", 0.9)
    code, said = check(capsys, *command, "--similarity", 0.5)
    assert code == 1 and "similarity 0." in said.out
    assert check(capsys, *command, "--similarity", 0.95)[0] == 0


def test_an_instruction_in_common_is_no_hit(tmp_path, capsys, root):
    training = lines(
        tmp_path / "train.jsonl", [{"prompt": INSTRUCTION + "下列哪一项是宪法规定的公民权利？", "reference": "A"}]
    )
    code, said = check(capsys, training, "--benchmarks", "lexeval:1_2", "--root", root)
    assert code == 0 and "0.0%" in said.out
    assert frame([plain(INSTRUCTION + STEM + "答案"), plain(INSTRUCTION + OTHER + "答案")]) == (
        plain(INSTRUCTION),
        "答案",
    )


def test_demonstrations_parquet_and_folders_are_read(tmp_path, capsys, root):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "training"
    lines(folder / "a.jsonl", [{"prompt": "你好", "demonstration": f"回忆一题：{STEM}选A"}])
    pq.write_table(pa.Table.from_pylist([{"prompt": OTHER, "reference": "A"}]), folder / "b.parquet")
    code, said = check(capsys, folder, "--benchmarks", "lexeval:1_2", "--root", root)
    assert code == 1 and "in a.jsonl:1" in said.out and "in b.parquet:1" in said.out


def test_what_can_not_be_read_is_a_sentence(tmp_path, capsys, root):
    training = lines(tmp_path / "train.jsonl", [{"frage": "x"}])
    code, said = check(capsys, training, "--benchmarks", "lexeval", "--root", root)
    assert code == 2 and "train.jsonl:1" in said.err
    code, said = check(capsys, training, "--benchmarks", "stard", "--root", root)
    assert code == 2 and "holds no data of stard" in said.err
    code, said = check(capsys, training, "--benchmarks", "lexeval:9_9", "--root", root)
    assert code == 2 and "no task 9_9" in said.err
