"""LawBench's ``fixed`` column reads an answer with text around it; ``score`` is as published."""

import pytest

from rl.evaluation.benchmark import Question
from rl.evaluation.benchmarks.cail2018 import read_labels
from rl.evaluation.benchmarks.lawbench import score


def scored(task, prediction, reference):
    found = score(task, [Question("0", "", reference)], [prediction])
    return found.score, found.fixed


@pytest.mark.parametrize(
    ("task", "prediction", "reference", "upstream", "fixed"),
    [
        ("1-2", "[正确答案]C<eoa>\n\n因为A项混淆了要约与要约邀请，D项没有依据。", "正确答案：C。", 0, 1),
        ("3-6", "[正确答案]B</eoa>故B项当选，A、C、D项均不正确。", "正确答案:B", 0, 1),
        ("3-6", "B公司享有优先权，由A公司承担责任。", "正确答案:A", 0, 0),
        ("2-2", "争议焦点类别：利息。双方对是否违约没有争议。", "争议焦点类别：利息。", 0, 1),
        ("2-4", "[类别]劳动纠纷<eoa>与交通事故无关", "劳动纠纷", 0, 1),
        ("3-1", "[法条]刑法第264条<eoa>未引用第67条。", "法条:刑法第264条", 1, 1),
        ("3-3", "[罪名]诈骗<eoa>该行为与盗窃的区别在于被害人是否自愿交付财物。", "罪名:诈骗", 2 / 3, 1),
        ("3-3", "[罪名]贩卖毒品罪<eoa>", "罪名:走私、贩卖、运输、制造毒品", 0, 1),
        ("3-4", "[刑期]10<eoa>", "刑期:10个月", 0, 1),
        ("3-7", "[金额]800元<eoa>其中现金500元，香烟价值300元。", "上文涉及到的犯罪金额:800.0元。", 1, 1),
        ("3-7", "[金额]500元+300元=800元<eoa>", "上文涉及到的犯罪金额:800.0元。", 1, 1),
    ],
)  # fmt: skip
def test_an_answer_with_text_around_it(task, prediction, reference, upstream, fixed):
    assert scored(task, prediction, reference) == pytest.approx((upstream, fixed), abs=1e-6)


def test_a_charge_of_today_is_cail2018s_label():
    assert read_labels("贩卖毒品罪、强制猥亵罪", "charge") == {"走私、贩卖、运输、制造毒品", "强制猥亵、侮辱妇女"}
