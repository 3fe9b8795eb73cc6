import time
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.accuracy import agrees
from rewards.parsing import answer_of, articles, charges, choice_letters, quantity


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("AB", "AB"),
        ("BA", "AB"),
        ("A、B", "AB"),
        ("ＡＢ", "AB"),
        ("选AB", "AB"),
        ("答案是A和C。", "AC"),
        ("（d）", "D"),
    ],
)
def test_choice_letters(answer, letters):
    assert choice_letters(answer) == frozenset(letters)


@pytest.mark.parametrize("answer", ["", "AA", "以上都对", "A因为盗窃", "XYZ"])
def test_what_is_no_choice(answer):
    assert choice_letters(answer) is None


@given(st.permutations("ABCD"), st.integers(1, 4), st.sampled_from(["", "、", "，", " ", "和"]), st.booleans())
def test_order_width_and_separators_do_not_matter(letters, n, separator, wide):
    answer = separator.join(letters[:n])
    if wide:
        answer = "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalpha() else c for c in answer)
        assert unicodedata.normalize("NFKC", answer) != answer
    assert agrees(answer, "".join(sorted(letters[:n])), "choice")


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1年6个月", 18, "月"), ("十八个月", 18, "月"), ("一年六个月", 18, "月"), ("五万元", 50_000, "元"),
        ("50,000元", 50_000, "元"),
        ("3.5万元", 35_000, "元"), ("十五日", 15, "日"), ("１２个月", 12, "月"), ("7", 7, ""), ("2个月。", 2, "月"),
    ],
)  # fmt: skip
def test_quantities_are_read_in_one_unit(text, value, unit):
    assert quantity(text) == (Fraction(value), unit)


@pytest.mark.parametrize("text", ["", "年", "约莫", "5元6个月", "18个月左右"])
def test_what_is_no_quantity(text):
    assert quantity(text) is None


@given(st.integers(0, 40), st.integers(0, 11))
def test_years_and_months_are_months(years, months):
    written = f"{years}年{months}个月"
    assert agrees(written, f"{12 * years + months}个月", "number")
    assert not agrees(written, f"{12 * years + months + 1}个月", "number")


def test_articles_and_charges():
    assert articles("依照《刑法》第二百六十四条、第17条之一及266条") == {(264, 0), (17, 1), (266, 0)}
    assert charges("盗窃罪，264条") == {"盗窃"} == charges("盗窃")
    assert charges("盗窃罪、诈骗罪") == {"盗窃", "诈骗"}
    assert agrees("盗窃，第二百六十四条", "盗窃罪，264条", "charge")
    assert not agrees("盗窃罪，266条", "盗窃罪，264条", "charge")
    assert not agrees("盗窃罪", "盗窃罪，264条", "charge"), "the article is part of the answer"


def test_the_last_answer_block_counts():
    assert answer_of("<answer>A</answer><answer> B </answer>") == "B"
    assert answer_of("想</think><answer>A</answer>") == "A", "a template may have opened <think>"
    assert answer_of("<answer>A") is None and answer_of("</answer><answer>") is None


def test_a_reference_that_cannot_be_read_is_an_error():
    for kind, reference in (("choice", "无"), ("number", "若干"), ("article", "无"), ("colour", "x")):
        with pytest.raises(ValueError, match=r"can't be read|unknown"):
            agrees("A", reference, kind)


@pytest.mark.parametrize(
    "hostile", ["第" * 10**6, "<answer>" * 10**5, "一" * 10**6 + "条", "A、" * 5 * 10**5, "\0" * 10**6, "《" * 10**6]
)
def test_hostile_input_costs_little(hostile):
    from rewards.registry import compose
    from rewards.verdict import Sample

    judge = compose({"accuracy": 1.0, "format": 1.0, "rouge_l": 1.0, "legal_validity": 1.0})
    started = time.process_time()
    for completion in (hostile, f"<think></think><answer>{hostile}</answer>"):
        assert judge(Sample("q", completion, "盗窃罪，264条", "charge")).score is not None
    assert time.process_time() - started < 5, "a quadratic pattern would take minutes"
