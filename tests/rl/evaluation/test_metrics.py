"""The benchmarks' metrics by hand, and on hostile and very long predictions."""

import math
import time

import pytest

from rl.errors import UserError
from rl.evaluation.benchmark import Question
from rl.evaluation.benchmarks import BENCHMARKS
from rl.evaluation.metrics import choice_letters, text_overlap
from rl.evaluation.metrics.judgment_decisions import decided, decided_fixed, ratio, sections
from rl.evaluation.scoring import answered

DOCUMENT = (
    "某市人民法院 刑事判决书 公诉机关指控被告人张某、李某犯盗窃罪。现已审理终结。经审理查明，二人窃取财物。"
    "本院认为，二被告人的行为均已构成盗窃罪。依照《中华人民共和国刑法》第二百六十四条、第六十七条第三款之规定，判决如下："
    "一、被告人张某犯盗窃罪，判处有期徒刑一年六个月，并处罚金人民币五千元；"
    "二、被告人李某犯盗窃罪，判处有期徒刑一年六个月，并处罚金人民币五千元。如不服本判决，可上诉。"
)  # fmt: skip


def scored(name, task, pairs):
    questions = [Question(str(number), "", reference) for number, (_, reference) in enumerate(pairs)]
    return BENCHMARKS[name].score(task, questions, [prediction for prediction, _ in pairs])


@pytest.mark.parametrize(
    ("prediction", "reference", "score", "fixed", "abstained"),
    [
        ("A、C", "AC", 1, 1, 0), ("CA", "AC", 0, 1, 0), ("分析：B对。选B", "B", 0, 1, 1),
        ("B。解析：A错", "B", 1, 1, 0), ("A\n分析：答案是B", "B", 0, 1, 0),
        ("AAB", "AB", 0, 0, 1), ("<think>A</think>B", "B", 0, 1, 0), ("C: 2013年1月20日", "C", 1, 1, 0),
        ("A: 甲有效, C: 乙无效", "AC", 1, 1, 0), ("CD", "CD（无效合同不一定要撤销）", 0, 1, 0), ("C", "选项C", 0, 1, 0),
        ("不知道", "A", 0, 0, 1),
    ],
)  # fmt: skip
def test_lexeval_choices(prediction, reference, score, fixed, abstained):
    found = scored("lexeval", "1_2", [(prediction, reference)])
    assert (found.score, found.fixed, found.abstention_rate) == (score, fixed, abstained)


def test_lexeval_counts_a_question_without_answer_as_wrong_and_fixed_leaves_it_out():
    found = scored("lexeval", "3_5", [("A", "A"), ("B", "")])
    assert (found.score, found.fixed) == (0.5, 1.0)


def test_rouge_of_lexeval_counts_different_words_and_gives_up_on_long_texts():
    # Words: 盗窃 | 财物 and 盗窃 | 盗窃 | 财物; different words 2 and 2, all words 2 and 3.
    assert text_overlap.segmented("盗窃盗窃财物") == ["盗窃", "盗窃", "财物"]
    assert text_overlap.lexeval("盗窃，盗窃财物。", "盗窃财物") == pytest.approx(1.0)
    assert text_overlap.plain("盗窃，盗窃财物。", "盗窃财物") == pytest.approx(2 * 2 / (2 + 3))
    assert text_overlap.lexeval("盗窃财物" * 400, "盗窃财物" * 400) == pytest.approx(1.0)
    assert text_overlap.lexeval("盗窃财物" * 500, "盗窃财物" * 500) == 0.0  # 1000 steps back through the table
    assert text_overlap.plain("盗窃财物" * 300, "盗窃财物" * 500) == pytest.approx(2 * 600 / 1600)
    assert text_overlap.lexeval("", "合同") == text_overlap.plain("", "合同") == 0.0


def test_rouge_of_lawbench_is_the_librarys():
    import jieba
    from rouge_chinese import Rouge

    for given, wanted in (("盗窃公私财物，数额较大的。\n处三年", "盗窃公私财物的，处三年以下"), ("无", "有期徒刑")):
        sides = [" ".join(jieba.cut(text)) for text in (given, wanted)]
        assert text_overlap.lawbench(given, wanted) == Rouge().get_scores(*sides)[0]["rouge-l"]["f"]


def test_bleu_and_meteor_by_hand():
    # Words 合同 | 无效 | 的 against 合同 | 无效: all two in a row, precision 2/3, recall 1, one chunk.
    assert text_overlap.bleu("合同无效的", "合同无效", 1) == pytest.approx(2 / 3)
    assert text_overlap.bleu("合同无效的", "合同无效", 2) == pytest.approx(1 / 2)
    assert text_overlap.bleu("合同", "合同无效", 1) == pytest.approx(math.exp(1 - 2))
    assert text_overlap.bleu("无效合同", "合同无效", 2) == pytest.approx(math.log(2) / 10)
    assert text_overlap.meteor("合同无效的", "合同无效") == pytest.approx(
        (1 - 0.5 * (1 / 2) ** 3) * (2 / 3) / (0.9 * 2 / 3 + 0.1)
    )
    assert text_overlap.meteor("盗窃", "合同") == 0.0


@pytest.mark.parametrize(
    ("prediction", "letters"),
    [
        ("AB", "AB"), ("本题的答案应该是A、C，因为甲有效", "AC"), ("A. 甲构成盗窃罪\nC. 乙不构成犯罪", "AC"),
        ("经过分析可知，B、D都是正确的说法", "BD"), ("此题无法作答，信息不足以判断", ""),
    ],
)  # fmt: skip
def test_discs_reading(prediction, letters):
    assert choice_letters.disc_letters(prediction) == frozenset(letters)


@pytest.mark.parametrize(
    ("prediction", "months", "score"),
    [
        ("1年6个月", 18, 1), ("有期徒刑两年", 18, 0.8), ("12个月", 18, 0.8), ("6个月", 18, 0.2), ("无期徒刑", 18, 0),
        ("死刑", -2, 1), ("不知道", 18, 0), ("5个月", 18, 0),
    ],
)  # fmt: skip
def test_cail2018s_terms(prediction, months, score):
    assert scored("cail2018", "term", [(prediction, months)]).score == score


def test_cail2019_reads_the_longest_name():
    found = scored("cail2019", "labor", [("未签订劳动合同", ["未签订劳动合同"]), ("LB7 LB99", ["LB7"])])
    assert [one.score for one in found.per_question] == [1, 1]
    with pytest.raises(UserError, match="not an element of labor"):
        scored("cail2019", "labor", [("无", ["返还借款"])])


def test_a_judgment_is_read_by_the_published_rules_and_by_fixed_ones():
    reasoning, judgment = sections(DOCUMENT)
    assert reasoning.startswith("本院认为") and reasoning.endswith("判决如下：") and judgment.endswith("五千元。")
    found, corrected = decided(DOCUMENT), decided_fixed(DOCUMENT)
    assert (found.months, found.yuan, found.charges, found.articles) == (18, 5000, {"盗窃"}, {264, 67})
    assert (corrected.months, corrected.yuan, corrected.articles) == (36, 10_000, {(264, 0), (67, 0)})
    assert decided("判处死刑").months == 10_001 and decided("无期徒刑").months == 240 and decided("驳回").months == -1


@pytest.mark.parametrize(
    ("wanted", "given", "expected"), [(18, 12, 2 / 3), (0, 0, 1), (-1, -1, None), (-1, 5, 0), (10_001, 240, 0)]
)
def test_the_ratio_of_terms_and_fines(wanted, given, expected):
    assert ratio(wanted, given) == (expected if expected is None else pytest.approx(expected))


HOSTILE = ("A" * 50_000, "《刑法》第" * 10_000, " \t" * 30_000 + "B", "罚金一" * 9_000, "第一百" * 9_000)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_predictions_cost_little_and_score_nothing(hostile):
    references = {
        ("lawbench", "1-2"): "正确答案：B。", ("lexeval", "1_2"): "B", ("jecqa", "kd"): "B", ("unilaw", "all"): "B",
        ("disc", "mult_nje"): "B", ("cail2018", "charge"): ["盗窃"], ("cail2019", "divorce"): ["DV1"],
        ("judge_doc", "document"): DOCUMENT, ("stard", "all"): {"names": ["民法典第一条"], "numbers": ["1"]},
    }  # fmt: skip
    for (name, task), reference in references.items():
        started = time.process_time()
        found = scored(name, task, [(hostile, reference)])
        assert time.process_time() - started < 8, name
        assert found.per_question[0].score == 0 or hostile.endswith("B"), name


def test_a_long_document_is_not_cut():
    document = "本院认为，" + "甲" * 20_000
    assert answered(f"<think>想</think>{document}") == document
    assert answered("<think>" + "想" * 20_000) == ""
