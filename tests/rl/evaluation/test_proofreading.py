"""LawBench's proofreading (2-1) by hand, and against its published scores where its repository is there
(THEMIS_BENCHMARKS)."""

import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rl.errors import UserError
from rl.evaluate import main
from rl.evaluation.benchmark import Question
from rl.evaluation.benchmarks.lawbench import BENCHMARK
from rl.evaluation.metrics.alignment import cheapest, replacing
from rl.evaluation.metrics.characters import Tables, load
from rl.evaluation.metrics.proofreading import Counts, compared, published, score, single
from rl.evaluation.score_command import score_task
from rl.evaluation.scoring import Unscorable

ROOT = os.environ.get("THEMIS_BENCHMARKS")
READINGS = {"实": ("shi",), "事": ("shi",), "施": ("shi", "yi")}
CLASSES = {"帐": ("B", "a", "01"), "账": ("B", "a", "01"), "户": ("B", "b", "01"), "钱": ("D", "c", "02")}
SIMPLIFIED = str.maketrans("證據錯誤沒", "证据错误没")
TABLES = Tables(
    CLASSES, {"未": ("末", "本")}, lambda one: READINGS.get(one, (one,)), lambda text: text.translate(SIMPLIFIED)
)


@pytest.mark.parametrize(
    ("one", "other", "cost"),
    [
        ("甲", "乙", 2 / 3 + 0.5 + 0.25),  # nothing known
        ("实", "施", 2 / 3 + 0.25),  # a syllable in common
        ("未", "末", 2 / 3 + 0.25), ("末", "未", 2 / 3 + 0.25),  # confused
        ("帐", "账", 0.5 + 0.25),  # of one class
        ("帐", "户", 1 / 3 + 0.5 + 0.25), ("帐", "钱", 1 + 0.5 + 0.25),  # one level differs, all three do
        (",", "，", 2 / 3 + 0.5), ("，", "甲", 2 / 3 + 0.5 + 0.499), ("a", "b", 2 / 3 + 0.5 + 0.25),
        ("。", "，", 2 / 3 + 0.5 + 0.499),  # ChERRANT does not know 。 as a mark
    ],
)  # fmt: skip
def test_the_cost_of_replacing(one, other, cost):
    assert replacing(one, other, TABLES) == pytest.approx(cost, abs=1e-12)


@pytest.mark.parametrize(
    ("source", "target", "edits"),
    [
        ("指控实施", "指控事实", {(2, 4, "事实"): 1}),  # 2 x 0.917 for replacing, 2 for inserting and deleting
        ("指控实施", "指控法实", {(2, 2, "法"): 1, (3, 4, ""): 1}),  # 2.83 for replacing
        ("已经经过", "已经过", {(1, 2, ""): 1}),
        ("我方未还", "我方本已还", {(2, 3, "本已"): 1}),  # neighbours are one
        ("送报工程", "报送工程", {(0, 2, "报送"): 1}),  # in another order: 1
        ("去昨天学校", "昨天去学校", {(0, 3, "昨天去"): 1}),  # in another order, or deleted and inserted: 2
        ("先生昨天去了", "昨天去先生了", {(0, 5, "昨天去先生"): 1}),  # deleted, and inserted elsewhere: 4, in order: 4
        ("甲对乙", "乙对甲", {(0, 3, "乙对甲"): 1}),  # two replaced by each other
        ("“甲乙", "甲乙“", {(0, 3, "甲乙“"): 1, (0, 1, ""): 1, (3, 3, "“"): 1}),  # the same, but marks do not move
        ("甲乙", "甲甲丙", {(0, 0, "甲"): 1, (1, 2, "丙"): 1, (1, 2, "甲丙"): 1}),  # two ways for 2.417
        ("证据", "證據", {}), ("證据", "證据", {(0, 1, "证"): 1}),  # only the correction is simplified
        ("证据", "沒有錯誤", {}), ("证据", "无法标注", {(-1, -1, ""): 1}),  # ChERRANT's notes
        ("证据", "", {(0, 2, "无"): 1}),
        ("一二三四五六七八九十甲乙", "丙", {(0, 12, "丙"): 1}),
    ],
)  # fmt: skip
def test_edits_by_hand(source, target, edits):
    assert published(source, target, TABLES) == edits


def test_a_target_of_too_many_alignments_is_given_up_and_a_single_one_is_found():
    alike = Tables({chr(n): ("A", "a", "01") for n in range(0x4E00, 0x6000)}, {}, lambda one: ("yi",), str)
    source, target = ("".join(map(chr, range(start, start + count))) for start, count in ((0x4E00, 40), (0x5E00, 32)))
    assert cheapest(source, target, alike).count()[0] == math.comb(40, 8)  # eight to delete anywhere
    assert published(source, target, alike) == {(0, 40, "无"): 1}
    assert single(source, target, alike) == {(0, 40, target): 1}


def test_alignments_are_counted_with_their_ends():
    # 甲 inserted, 甲 kept, 乙 replaced; or 甲 kept, 乙 replaced by 甲, 丙 inserted: two, with five proper ends between
    # them: 乙 replaced (and 甲 kept before), 丙 inserted (and 乙 replaced before), and none.
    assert cheapest("甲乙", "甲甲丙", TABLES).count() == (2, 7)


def test_right_edits_count_as_often_as_the_reference_has_them():
    a, b, c = (0, 1, "甲"), (1, 2, "乙"), (2, 3, "")
    found = compared({a: 3, b: 2}, {a: 2, c: 1})
    assert found == Counts(right=2, wrong=2, missed=1)
    assert (found.precision, found.recall) == (1 / 2, 2 / 3)
    assert found.f == pytest.approx(1.25 * (1 / 2) * (2 / 3) / (0.25 / 2 + 2 / 3))
    assert Counts().f == 1 and Counts(missed=1).f == 0 and Counts(wrong=1).f == 0


def asked(*pairs):
    return [
        Question(str(number), f"纠正句子中的错误。句子：\n{source}", answer)
        for number, (source, answer) in enumerate(pairs)
    ]


def test_a_score_is_of_all_sentences_together():
    questions = asked(("指控实施。", "指控事实。"), ("已经经过", "已经过"), ("证 據", "证据"))
    given = ["指控事实。", "已经经过了", "<think>證？</think>證 據\n"]
    found = score(questions, given, TABLES)
    # One right; 了 inserted is wrong and 经 is missed; the third is cut after seven characters, "<think>", wrong
    # where 據 should have become 据.
    assert found.further == {"precision": 1 / 3, "recall": 1 / 3}
    assert found.score == 0.3333 and [one.score for one in found.per_question] == [1, 0, 0]
    # Without its reasoning the third is right, and nothing is to be done where the sentence is simplified, too.
    assert found.fixed == pytest.approx(0.5) and [one.fixed for one in found.per_question] == [1, 0, 1]
    assert found.abstention_rate == 0


def test_an_edit_counts_once_in_fixed():
    questions, given = asked(("甲乙和实施", "甲乙和事实")), ["甲甲丙和事实"]
    found = score(questions, given, TABLES)
    assert found.further["precision"] == 1 / 4  # right once, and wrong three times, by two ways
    assert found.fixed == pytest.approx(1.25 / 3 / (0.25 / 3 + 1))  # 甲 before, 丙 for 乙


def test_the_end_of_a_chats_frame_belongs_to_the_sentence_but_for_fixed():
    (question,) = asked(("指控实施，好。", "指控事实，好。"))
    framed = replace(question, asked=f"{question.prompt}<end>\n助手：")
    assert published("指控实施，好。<end>", "指控事实，好。", TABLES) == {(2, 4, "事实"): 1, (7, 12, ""): 1}
    found = score([framed], ["指控实施，好。"], TABLES)
    assert found.further == {"precision": 1, "recall": 1 / 2} and found.fixed == 0
    assert score([question], ["指控实施，好。"], TABLES).further == {"precision": 1, "recall": 0}


def test_what_is_missing_is_reported(tmp_path):
    with pytest.raises(UserError, match="no sentence after 句子："):
        score([Question("7", "", "证据")], ["证据"], TABLES)
    with pytest.raises(
        UserError, match=r"cilin\.txt and confusion_dict\.txt of the authors' repository; give its folder"
    ):
        BENCHMARK.score("2-1", asked(("證据", "证据")), ["证据"])


@pytest.mark.parametrize("missing", ["cilin.txt", "confusion_dict.txt"])
def test_tables_are_read_in_or_above_the_folder_of_the_data(tmp_path, missing):
    pytest.importorskip("pypinyin")
    pytest.importorskip("opencc")
    tables = tmp_path / "evaluation" / "utils" / "data"
    tables.mkdir(parents=True)
    (tables / "cilin.txt").write_text("Aa01A01= 人 士\nBb02A01= 人\n", encoding="gbk")
    (tables / "confusion_dict.txt").write_text("未 末 本\n", encoding="utf-8")
    data = tmp_path / "data" / "zero_shot" / "2-1.json"
    data.parent.mkdir(parents=True)
    data.write_text('[{"instruction": "句子：", "question": "證据", "answer": "证据"}]')
    found = load(data)
    assert found.classes["人"] == ("B", "b", "02") and found.classes["士"] == ("A", "a", "01")  # the last line counts
    assert found.alike("末", "未") and found.alike("行", "航") and not found.alike("人", "士")
    assert found.simplified("證據") == "证据"
    scored = BENCHMARK.score("2-1", BENCHMARK.read(data, "2-1", 0), ["证据"])
    assert scored.score == 1
    (tables / missing).unlink()
    load.cache_clear()
    with pytest.raises(Unscorable, match=missing):
        load(tmp_path)


def test_a_folder_is_scored_without_the_task_whose_tables_are_missing(tmp_path, capsys):
    for task, prediction in (
        ("1-2", {"prediction": "A", "refr": "正确答案：A。"}),
        ("2-1", {"prediction": "", "refr": "他在家。"}),
    ):
        (tmp_path / f"{task}.json").write_text(json.dumps({"0": prediction}))
    assert main(["score", "--benchmark", "lawbench", "--predictions", str(tmp_path), "--json"]) == 0
    told = capsys.readouterr()
    assert list(json.loads(told.out)["tasks"]) == ["1-2"]
    assert "left out: task 2-1; LawBench's task 2-1 needs" in told.err
    assert main(["score", "--benchmark", "lawbench", "--predictions", str(tmp_path), "--task", "2-1"]) == 2


@pytest.mark.skipif(ROOT is None, reason="THEMIS_BENCHMARKS names no folder with LawBench in it")
@pytest.mark.parametrize(
    ("setting", "model"),
    [
        ("zero_shot", "GPT4"), ("one_shot", "GPT4"),
        ("one_shot", "hanfei-1.0-7b-hf"),  # the end of a frame in the sentence
        ("one_shot", "llama-2-70b-chat"),  # long English replies, of which 34 are given up
    ],
)  # fmt: skip
def test_published_scores_are_reproduced(setting, model):
    pytest.importorskip("pypinyin")
    pytest.importorskip("opencc")
    home = Path(ROOT) / "LawBench"
    with (home / "predictions" / setting / "results.csv").open() as file:
        rows = {(row["task"], row["model_name"]): row for row in csv.DictReader(file)}
    found, questions = score_task(BENCHMARK, "2-1", home / "predictions" / setting / model / "2-1.json", home)
    published_row = rows["2-1", model]
    assert questions == 500
    assert found.score == pytest.approx(float(published_row["score"]), abs=1e-9)
    assert found.abstention_rate == pytest.approx(float(published_row["abstention_rate"]), abs=1e-9)
