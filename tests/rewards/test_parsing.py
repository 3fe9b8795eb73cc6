import random
import time
import unicodedata
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.numerals import ARTICLE
from curricula.statutes import load_statutes
from rewards.parsing import (
    ArticleRef,
    amounts,
    answer_of,
    article_refs,
    articles,
    charges,
    choice_letters,
    dates,
    deadline,
    final_answer,
    find_choice,
    fine,
    known_charges,
    limitation_period,
    numbers,
    quantity,
    term,
    thinking_of,
)
from rewards.rules.accuracy import agrees
from tools.fuzz_parsers import PARSERS, draw
from tools.judge_cases import numeral


def refs(text):
    return [(ref.law, ref.number, ref.insertion, ref.paragraph, ref.item) for ref in article_refs(text)]


# --- sections ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("completion", "thinking", "answer"),
    [
        ("<think>想</think><answer>A</answer>", "想", "A"),
        ("想</think>\n<answer>A</answer>", "想", "A"),  # the template had opened <think>
        ("<think>想</think>答案是A", "想", "答案是A"),
        ("思考过程：想\n[最终回答]\n盗窃罪", "思考过程：想", "盗窃罪"),
        ("想【最终回答】盗窃罪", "想", "盗窃罪"),
        ("盗窃罪", "", "盗窃罪"),
        ("<think>想", "想", None),
        ("<think>想</think>", "想", None),
        ("<think><answer>A</answer></think>", "<answer>A</answer>", None),  # thought, not answered
        ("<answer>A", "", None),
        ("</answer><answer>", "", None),
        ("<think>想</think><answer>A</answer><answer> B </answer>", "想", "B"),
    ],
)
def test_what_is_thought_and_what_is_answer(completion, thinking, answer):
    assert thinking_of(completion) == thinking and final_answer(completion) == answer
    assert answer_of(completion) == (answer if answer and "<answer>" in completion else None)


def test_reasoning_longer_than_parsers_look_at_is_never_taken_for_the_answer():
    long = "据刑法。" * 10_000
    assert final_answer("<think>" + long) is None
    assert final_answer(f"<think>{long}</think>甲") == "甲"
    assert answer_of(f"<think>{long}<answer>甲</answer>") is None
    assert thinking_of("<think>" + long).endswith("据刑法。")


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("AB", "AB"), ("BA", "AB"), ("A、B", "AB"), ("ＡＢ", "AB"), ("选AB", "AB"), ("答案是A和C。", "AC"), ("（d）",
        "D"), ("选ＡＢ", "AB"),
        ("答案是ＡＢ", "AB"), ("A，B，D", "ABD"), ("正确答案：X".replace("X", "C"), "C"), ("故选ACD", "ACD"),
        ("B项正确", "B"),
    ],
)  # fmt: skip
def test_choice_letters(answer, letters):
    assert choice_letters(answer) == frozenset(letters) == find_choice(answer)


@pytest.mark.parametrize("answer", ["", "AA", "以上都对", "A因为盗窃", "XYZ", "A或B", "ABCDEFGHA", "不选A"])
def test_what_is_no_choice(answer):
    assert choice_letters(answer) is None


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("经分析，A项错误，应选BD。", "BD"), ("分析：甲构成盗窃。答案为C", "C"), ("A. 盗窃罪", "A"), ("不选A，选B",
        "B"), ("正确答案：AB\n解析：略", "AB"),
        ("[正确答案]AB<eoa>", "AB"), ("\\boxed{AB}", "AB"), ("答案：**A、B**", "AB"), ("AB正确，CD错误", "AB"),
        ("A对，B对，C错", "AB"),
        ("ABCD都选", "ABCD"), ("不选A", None), ("都有道理", None), ("A或B", None), ("I choose the answer", None),
    ],
)  # fmt: skip
def test_a_choice_in_prose(answer, letters):
    assert find_choice(answer) == (None if letters is None else frozenset(letters))


@given(st.permutations("ABCD"), st.integers(1, 4), st.sampled_from(["", "、", "，", " ", "和"]), st.booleans())
def test_order_width_and_separators_do_not_matter(letters, n, separator, wide):
    answer = separator.join(letters[:n])
    if wide:
        answer = "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalpha() else c for c in answer)
        assert unicodedata.normalize("NFKC", answer) != answer
    assert agrees(answer, "".join(sorted(letters[:n])), "choice")


# --- numbers, quantities, money, dates --------------------------------------------------------------------------------


@given(st.integers(0, 9999))
def test_every_numeral_is_read_both_ways(number):
    assert numbers(str(number)) == [number]
    assert not number or numbers(numeral(number)) == [number]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1年6个月", 18, "月"), ("十八个月", 18, "月"), ("一年六个月", 18, "月"), ("一年半", 18, "月"), ("五万元",
        50_000, "元"),
        ("50,000元", 50_000, "元"), ("一亿二千万元", 120_000_000, "元"), ("3.5万元", 35_000, "元"), ("十五日", 15,
        "日"), ("15天", 15, "日"),
        ("１２个月", 12, "月"), ("7", 7, ""), (r"\frac{3}{2}", Fraction(3, 2), ""), ("(1+0.5)×12个月", 18, "月"),
        ("3/2年", 18, "月"), ("2个月。", 2, "月"),
    ],
)  # fmt: skip
def test_quantities_are_read_in_one_unit(text, value, unit):
    assert quantity(text) == (Fraction(value), unit)


@pytest.mark.parametrize(
    "text", ["", "年", "约莫", "5元6个月", "18个月左右", "2021-3-5", "2021/3/5", "3-5年", "9**9**9", "1/0", "((("]
)
def test_what_is_no_quantity(text):
    assert quantity(text) is None


@given(st.integers(0, 40), st.integers(0, 11))
def test_years_and_months_are_months(years, months):
    written = f"{years}年{months}个月"
    assert agrees(written, f"{12 * years + months}个月", "number")
    assert not agrees(written, f"{12 * years + months + 1}个月", "number")


@pytest.mark.parametrize(
    ("text", "yuan"),
    [
        ("五万元", [50_000]), ("50,000元", [50_000]), ("5万余元", [50_000]), ("人民币叁仟元整", [3_000]), ("¥3000",
        [3_000]),
        ("退赔2.5万元，另付三百元", [25_000, 300]), ("一亿二千万元", [120_000_000]), ("三人", []), ("第5条", []),
    ],
)  # fmt: skip
def test_amounts_of_money(text, yuan):
    assert [amount.yuan for amount in amounts(text)] == yuan


def test_the_fine_is_what_follows_罚金():
    assert fine("退赔二万元，并处罚金人民币五千元").yuan == 5_000
    assert fine("罚款5万").yuan == 50_000 == fine("罚金人民币伍万元").yuan
    assert fine("五千元").yuan == 5_000 and fine("退赔一万元，赔偿二万元") is None
    assert amounts("约5万余元")[0].about and not amounts("5万元")[0].about


@given(st.dates(date(1950, 1, 1), date(2099, 12, 31)))
def test_every_date_is_read_in_every_writing(day):
    chinese = "".join("〇一二三四五六七八九"[int(c)] for c in str(day.year))
    for text in (
        f"自{day.year}年{day.month}月{day.day}日起", day.isoformat(), f"{day.year}/{day.month}/{day.day}",
        f"{chinese}年{numeral(day.month)}月{numeral(day.day)}日",
    ):  # fmt: skip
        assert dates(text) == [day], text


def test_limitation_periods_and_their_last_day():
    assert dates("2021年2月30日") == []
    assert limitation_period("诉讼时效期间为三年") == limitation_period("适用三年的诉讼时效") == (36, "月")
    assert limitation_period("时效为1年，又称2年的诉讼时效") is None
    assert deadline(date(2020, 2, 29), (Fraction(36), "月")) == date(2023, 2, 28)
    assert deadline(date(2021, 3, 5), (Fraction(15), "日")) == date(2021, 3, 20)
    for wrong in ((Fraction(1, 2), "月"), (Fraction(3), "元"), (Fraction(10**9), "月")):
        with pytest.raises(ValueError, match=r"whole number|beyond"):
            deadline(date(2021, 1, 1), wrong)


# --- terms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "months"),
    [
        ("有期徒刑一年六个月", "fixed", 18), ("18个月", "fixed", 18), ("拘役三个月", "detention", 3), ("管制二年",
        "surveillance", 24),
        ("1年6个月", "fixed", 18), ("15 years", "fixed", 180), ("一年半", "fixed", 18), ("三年零二个月", "fixed", 38),
        ("拘役十五日", "detention", 0.5),
        ("2021年3月5日被抓，判处有期徒刑十个月", "fixed", 10), ("处三年以下有期徒刑、拘役或者管制，判处有期徒刑二年",
        "fixed", 24),
        ("判处有期徒刑二年；又判处有期徒刑三年，决定执行有期徒刑四年六个月", "fixed", 54), ("有期徒刑三年，缓刑四年",
        "fixed", 36),
        ("判处有期徒刑十二年，剥夺政治权利二年", "fixed", 144), ("刑期:12个月", "fixed", 12), ("无期徒刑", "life",
        None), ("死刑", "death", None),
        ("有期徒刑壹年", "fixed", 12), ("无期", "life", None), ("死缓", "death", None),
        ("死刑，缓期二年执行", "death", None), ("不判处死刑，判处无期徒刑", "life", None), ("免予刑事处罚", "exempt",
        None),
    ],
)  # fmt: skip
def test_terms(text, kind, months):
    found = term(text)
    assert (found.kind, found.months) == (kind, months)


def test_probation_and_reprieve():
    assert term("有期徒刑三年，缓刑四年").suspended == 48 and term("死刑，缓期二年执行").suspended == 24
    assert term("死刑").suspended is None


@pytest.mark.parametrize(
    "text", ["", "处三年以上七年以下有期徒刑", "处十年以上有期徒刑、无期徒刑或者死刑", "三年前", "2021年"]
)
def test_what_is_no_sentence(text):
    assert term(text) is None


@given(st.integers(0, 25), st.integers(0, 11), st.booleans(), st.sampled_from(["", "判处", "应处", "决定执行"]))
def test_a_term_is_read_in_any_numerals(years, months, chinese, verb):
    if not years + months:
        return
    write = numeral if chinese else str
    text = verb + "有期徒刑" + (f"{write(years)}年" if years else "") + (f"{write(months)}个月" if months else "")
    assert term(text).months == 12 * years + months, text


# --- law --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("《中华人民共和国刑法》第二百六十四条之一第二款第（三）项", [("刑法", 264, 1, 2, 3)]),
        ("刑法第264、266条", [("刑法", 264, 0, None, None), ("刑法", 266, 0, None, None)]),
        ("刑法第266、385、383条", [("刑法", n, 0, None, None) for n in (266, 385, 383)]),
        ("刑法第二百六十四、二百六十六条", [("刑法", n, 0, None, None) for n in (264, 266)]),
        ("依照刑诉法第十五条和第十六条", [("刑事诉讼法", 15, 0, None, None), ("刑事诉讼法", 16, 0, None, None)]),
        ("依民法典第188条；《刑法》第3条", [("民法典", 188, 0, None, None), ("刑法", 3, 0, None, None)]),
        ("刑法264条", [("刑法", 264, 0, None, None)]),
        ("264条", [(None, 264, 0, None, None)]),
        ("《公司法》第三条“依照本法第五条的规定”", [("公司法", 3, 0, None, None), ("公司法", 5, 0, None, None)]),
        ("劳动合同法第四十条", [("劳动合同法", 40, 0, None, None)]),
        ("没有法条", []),
    ],
)
def test_articles_with_their_laws(text, wanted):
    assert refs(text) == wanted


def test_articles_of_any_law_and_quotations():
    assert articles("依照《刑法》第二百六十四条、第17条之一及266条") == {(264, 0), (17, 1), (266, 0)}
    assert article_refs("《刑法》第264条规定“盗窃公私财物的”。")[0] == ArticleRef("刑法", 264, quote="盗窃公私财物的")


def test_every_article_in_force_is_read_back():
    rng = random.Random(0)
    numbered = [article for article in load_statutes().articles() if ARTICLE.fullmatch(article.number)]
    for article in rng.sample(numbered, 500):
        number, insertion = article.key
        arabic = f"第{number}条" + (f"之{insertion}" if insertion else "")
        for text in (f"《{article.law}》{article.number}", f"《{article.short}》{arabic}"):
            found = article_refs(text)
            assert [ref.key for ref in found] == [article.key], text


def test_charges():
    assert charges("盗窃罪，264条") == {"盗窃"} == charges("盗窃")
    assert charges("盗窃罪、诈骗罪") == charges("盗窃,诈骗") == charges("盗窃罪和诈骗罪") == {"盗窃", "诈骗"}
    assert charges("不构成抢劫罪，构成抢夺罪") == {"抢夺"}
    assert charges("职务侵占罪") == {"职务侵占"}, "not 侵占"
    assert charges("生造的罪名罪") == {"生造的罪名"}
    prose = (
        "本院认为，被告人以非法占有为目的，秘密窃取他人财物，数额较大，其行为已构成盗窃罪，公诉机关指控的事实清楚。" * 2
    )
    assert charges(prose) == {"盗窃"}
    assert agrees("盗窃，第二百六十四条", "盗窃罪，264条", "charge")
    assert not agrees("盗窃罪，266条", "盗窃罪，264条", "charge")
    assert not agrees("盗窃罪", "盗窃罪，264条", "charge"), "the article is part of the answer"


def test_every_charge_is_known_with_and_without_罪():
    assert len(known_charges()) > 202 == len({*known_charges()[:202]})
    for name in known_charges():
        assert charges(name) == charges(f"{name}罪") == {name}, name
        assert name in charges(f"其行为构成{name}罪，应当依法追究刑事责任；" + "事实清楚，证据确实充分。" * 6), name


def test_a_reference_that_cannot_be_read_is_an_error():
    for kind, reference in (("choice", "无"), ("number", "若干"), ("article", "无"), ("colour", "x")):
        with pytest.raises(ValueError, match=r"can't be read|unknown"):
            agrees("A", reference, kind)


# --- hostile input ----------------------------------------------------------------------------------------------------

HOSTILE = (
    "第" * 10**6, "<answer>" * 10**5, "<think><answer>" * 30_000 + "</answer></think>" * 30_000, "一" * 10**6 + "条",
    "A、" * 500_000, "\0" * 10**6,
    "《" * 10**6, "ﷺ" * 10**6, "9" * 10**6, "1,000" * 200_000, "刑法第1条" * 200_000, "1年" * 500_000,
    "有期徒刑三年以上" * 120_000, "“" * 10**6,
    "选A" * 300_000, " " * 10**6, "\u200b" * 10**6, "a" + "\u0301" * 10**6, "三年至" * 300_000, "{" * 10**6,
    '{"a":' * 10**5, "零" * 10**6,
    "最终回答：" * 10**5, "A项正确" * 200_000, "半" * 10**6, "亿" * 10**6, "\n\n\n\nE" * 200_000, "```{" * 250_000,
    "走私、贩卖、" * 100_000, "盗窃、" * 300_000, "非法" * 300_000, "【答案】A或B" * 100_000, "1元+1元=" * 100_000,
    "罚金1元" * 200_000, "三年时效" * 200_000, "二〇一九年" * 200_000,
    "类型 : " * 200_000, "A 、 " * 200_000,
)  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE, ids=[text[:8].strip("\0 \u200b") or "blank" for text in HOSTILE])
def test_a_megabyte_costs_a_parser_no_more_than_reading_it(hostile):
    # What reads a text once needs some hundredths of a second; what reads it again from each of its places, hours.
    for name, parse in PARSERS.items():
        started = time.process_time()
        parse(hostile)
        assert time.process_time() - started < 1, name


def test_random_and_mutated_texts_crash_no_parser():
    rng = random.Random(1)
    for _ in range(2_000):
        text = draw(rng)
        for parse in PARSERS.values():
            parse(text)


@given(st.text(max_size=200))
def test_any_text_crashes_no_parser(text):
    for parse in PARSERS.values():
        parse(text)
