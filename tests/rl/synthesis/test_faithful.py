"""Rewritings that keep their source's facts pass, whatever their numerals and order; one changed fact is found."""

import pytest

from rl.synthesis.facts import facts
from rl.synthesis.faithful import faithful
from tests.rl.synthesis.judgments import judgments
from tests.rl.synthesis.measure_faithful import figures


def test_precision_and_recall_on_seeded_rewritings_of_the_judgments():
    refused, good, missed, changed = figures(judgments()[::3], 1)
    assert good == 60 and min(changed.values()) >= 10
    assert len(refused) <= 0.02 * good, refused
    assert len(missed) <= 0.02 * changed.total(), missed


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("判处有期徒刑一年六个月，并处罚金人民币五千元", "判处有期徒刑18个月，罚金5,000元"),
        ("于2024年1月29日，同年2月3日", "二〇二四年一月二十九日至2024-02-03"),
        ("依照《中华人民共和国刑法》第二百六十四条", "根据刑法第264条"),
        ("贩卖甲基苯丙胺0.5公斤", "贩卖毒品500克"),
        ("先后三次盗窃，二人均被抓获", "多次盗窃，两人都被抓获"),
        ("赔偿3万元", "赔偿人民币叁万元整"),
        ("于2024年1月29日盗窃", "在2024年1月29日（2024年1月）盗窃"),
    ],
)
def test_the_same_in_other_words(source, text):
    assert faithful(source, text).faithful, faithful(source, text)


@pytest.mark.parametrize(
    ("source", "text", "lost", "invented"),
    [
        ("赔偿5000元", "赔偿50000元", {"numbers": ("5000元",)}, {"numbers": ("50000元",)}),
        ("判处有期徒刑三年", "判处有期徒刑三年，缓刑四年", {}, {"numbers": ("48月",)}),
        (
            "《刑法》第六十七条第一款",
            "《刑法》第六十八条",
            {"citations": ("刑法第67条",)},
            {"citations": ("刑法第68条",)},
        ),
        ("2024年1月29日", "2024年1月", {"dates": ("2024-01-29",)}, {}),
        ("贩卖1.8克", "贩卖1.8公斤", {"numbers": ("1.8克",)}, {"numbers": ("1800克",)}),
        ("被告人张三、李四盗窃", "被告人张三盗窃", {"names": ("李四",)}, {}),
        ("被告人张三盗窃", "被告人张三与被告人王五盗窃", {}, {"names": ("王五",)}),
        ("（2024）云0199刑初101号", "本案", {"case_numbers": ("(2024)云0199刑初101号",)}, {}),
    ],
)
def test_what_is_lost_and_invented_is_named(source, text, lost, invented):
    result = faithful(source, text)
    assert (result.lost, result.invented) == (lost, invented)


def test_what_may_be_lost_is_chosen_and_nothing_may_be_invented():
    assert faithful("2024年1月29日盗窃5000元", "盗窃5000元", may_lose=("dates",)).faithful
    assert not faithful("盗窃5000元", "2024年1月29日盗窃5000元", may_lose=("dates",)).faithful


def test_an_empty_text_and_a_long_one():
    assert faithful("", "").faithful and facts("").numbers == frozenset()
    assert faithful("赔偿5000元，" * 3_000, "赔偿5000元").faithful
