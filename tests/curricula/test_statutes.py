"""The law of a day: the package's text, what amends and repeals it, and a user's folder."""

import subprocess
import sys
from datetime import date

import pytest

from curricula.errors import DataError
from curricula.numerals import article_key, to_int
from curricula.statutes import (
    edition,
    lacks,
    law_setting,
    load_statutes,
    may_exist,
    paragraphs,
    printed_articles,
    reading,
    statutes_of,
    use_law,
)
from curricula.statutes.amendments import apply, read_item
from curricula.statutes.article import Article

TODAY = date(2026, 11, 26)
XII = date(2024, 3, 1)


def on(day=TODAY, folder=None):
    return statutes_of(day, folder)


@pytest.fixture
def law(monkeypatch):
    """Put back what a test sets."""
    before = law_setting()
    yield
    use_law(before.as_of, before.folder)


def test_the_corpus_is_the_one_in_force():
    statutes = on()
    assert len(printed_articles()) == 23_995 and len(statutes.articles()) == 23_847
    assert (statutes.as_of, statutes.snapshot) == (TODAY, date(2026, 8, 28))
    assert statutes.resolve_law("合同法") is None, "repealed by the Civil Code"
    assert statutes.resolve_law("《民法典》") == "中华人民共和国民法典"


@pytest.mark.parametrize("number", [264, "264", "第264条", "第二百六十四条"])
def test_an_article_is_found_in_any_writing(number):
    assert on().find("刑法", number).text.startswith("盗窃公私财物")


def test_inserted_articles_are_articles_of_their_own():
    found = on().find("中华人民共和国刑法", "第十七条之一")
    assert found.key == (17, 1) and "七十五周岁" in found.text


def test_missing_laws_and_articles():
    statutes = on()
    assert statutes.find("刑法", 999) is None and statutes.find("不存在法", 1) is None
    assert statutes.find("刑法", 199) is None, "deleted by Amendment IX"
    with pytest.raises(DataError, match="did you mean"):
        statutes.articles("民法点")
    with pytest.raises(DataError, match="物权法 was repealed on 2021-01-01 and replaced by 民法典"):
        statutes.articles("物权法")


@pytest.mark.parametrize(
    ("number", "old", "new", "kept"),
    [
        (165, "企业的董事、经理利用职务便利", "企业的董事、监事、高级管理人员，利用职务便利", ""),
        (166, "利用职务便利，有下列情形之一，使国家利益", "采购、接受不合格商品、服务的", ""),
        (169, None, "其他公司、企业直接负责的主管人员，徇私舞弊", "将国有资产低价折股或者低价出售"),
        (387, "处五年以下有期徒刑或者拘役", "情节特别严重的，处三年以上十年以下", "在帐外暗中收受"),
        (390, "处五年以下有期徒刑或者拘役", "（七）将违法所得用于行贿的。", "可以减轻或者免除处罚"),
        (391, "处三年以下有期徒刑或者拘役，并处罚金。", "情节严重的，处三年以上七年以下有期徒刑", "单位犯前款罪的"),
        (393, "处五年以下有期徒刑或者拘役", "情节特别严重的，处三年以上十年以下有期徒刑", "依照本法第三百八十九条"),
    ],
)  # fmt: skip
def test_amendment_twelve_is_in_every_article_that_it_touches(number, old, new, kept):
    before, after = on(date(2024, 2, 29)).find("刑法", number).text, on(XII).find("刑法", number).text
    assert new in after and new not in before and kept in after and (old is None or old not in after)
    assert on().find("刑法", number).text == after
    assert len(paragraphs(after)) == {165: 2, 166: 2, 169: 2, 387: 2, 390: 3, 391: 2, 393: 1}[number]


def test_amendment_twelve_changes_nothing_else():
    before, after = on(date(2024, 2, 29)), on(XII)
    changed = [a.key[0] for a in after.articles("刑法") if a != before.find("刑法", a.number)]
    assert changed == [165, 166, 169, 387, 390, 391, 393]
    assert after.changed("刑法", 390).title.endswith("（十二）") and after.changed("刑法", 264) is None


LAW = "中华人民共和国甲法"


def amended(text, *items):
    articles = {(n, 0): Article(LAW, f"第{c}条", t) for n, c, t in ((1, "一", text), (2, "二", "乙。"))}
    unknown = set()
    for item in items:
        unknown |= apply(read_item(item), articles, LAW)
    return {key: article.text for key, article in articles.items()}, unknown


@pytest.mark.parametrize(
    ("item", "after"),
    [
        ("将甲法第一条修改为：“子。\n“丑。”", {(1, 0): "子。\n丑。"}),
        ("将甲法第一条第二款修改为：“子。”", {(1, 0): "甲：\n（一）天；\n（二）地。\n子。"}),
        ("将甲法第一条第一款第二项修改为：“（二）玄；”", {(1, 0): "甲：\n（一）天；\n（二）玄；\n丙。"}),
        ("甲法第一条增加一项，作为第二项：“黄；”原第二项改为第三项。",
         {(1, 0): "甲：\n（一）天；\n（二）黄；\n（三）地。\n丙。"}),
        ("在甲法第一条中增加一款作为第二款：“子。”\n原第二款作为第三款，修改为：“丑。”",
         {(1, 0): "甲：\n（一）天；\n（二）地。\n子。\n丑。"}),
        ("在甲法第一条中增加二款作为第二款、第三款：“子。\n“丑。”",
         {(1, 0): "甲：\n（一）天；\n（二）地。\n子。\n丑。\n丙。"}),
        ("在甲法第一条中增加一款作为第二款，将该条修改为：“子。\n“丑。”", {(1, 0): "子。\n丑。"}),
        ("删去甲法第一条第二款。", {(1, 0): "甲：\n（一）天；\n（二）地。"}),
        ("在甲法第一条后增加一条，作为第一条之一：“子。”", {(1, 1): "子。"}),
        ("在甲法第一条后增加二条，作为第一条之一、第一条之二：\n“第一条之一　子。\n“丑。\n“第一条之二　寅。”",
         {(1, 1): "子。\n丑。", (1, 2): "寅。"}),
    ],
)  # fmt: skip
def test_the_forms_of_an_amendment(item, after):
    first = "甲：\n（一）天；\n（二）地。\n丙。"
    found, unknown = amended(first, item)
    assert found == {(1, 0): first, (2, 0): "乙。"} | after and not unknown


def test_what_is_not_read_is_not_known():
    assert read_item("将第一条改为第二条，修改为：“子。”") is None, "others move, so that numbers say nothing"
    assert read_item("增加一条，作为第三条：“子。”") is None
    assert read_item("本修正案自2030年1月1日起施行。") == []
    found, unknown = amended("甲。", "将甲法第一条第三款修改为：“子。”")
    assert unknown == {(1, 0)} and found[1, 0] == "甲。", "there is no third paragraph"


def test_paragraphs_and_items():
    article = on().find("刑法", 390)
    assert len(paragraphs(article.text)) == 3 and lacks(article, 2, 7) == ""
    assert lacks(article, 2, 8) == "item 8 in paragraph 2" and lacks(article, 4, None) == "paragraph 4"
    assert lacks(article, 1, 1) and not lacks(article, None, 1)


def test_every_reference_inside_a_law_is_to_a_part_that_exists():
    """Paragraphs are counted rightly: laws refer to parts of their own in hundreds of places."""
    import regex

    number = "[零一二三四五六七八九十百千]+"
    inner = regex.compile(rf"本法(第{number}条(?:之{number})?)(?:第({number})款)?(?:第[（(]?({number})[)）]?项)?")
    statutes, seen = on(), 0
    for article in statutes.articles():
        for match in inner.finditer(article.text) if "修" not in article.law else ():
            found = statutes.find(article.law, match[1])
            part, item = (to_int(match[n]) if match[n] else None for n in (2, 3))
            if found is not None and (part or item):
                seen += 1
                assert not lacks(found, part, item), (article, match[0])
    assert seen > 300


@pytest.mark.parametrize(
    ("title", "status", "reason"),
    [
        ("合同法", "repealed", "合同法 was repealed on 2021-01-01 and replaced by 民法典"),
        ("中华人民共和国民法总则", "repealed", "2021-01-01 and replaced by 民法典"),
        ("中外合资经营企业法", "repealed", "2020-01-01 and replaced by 外商投资法"),
        ("环境保护法", "repealed", "2026-08-15 and replaced by 生态环境法典"),
        ("最高人民法院关于适用〈中华人民共和国婚姻法〉若干问题的解释（二）", "repealed", "replaced by 民法典"),
        ("农村土地承包法", "in force", ""),
        ("医疗保障法", "not yet in force", "takes effect on 2027-01-01"),
        ("乡镇企业法", "unknown", "marked as repealed, and nothing says by what"),
        ("全国人大常委会关于惩治骗购外汇、逃汇和非法买卖外汇犯罪的决定", "in force", ""),
        ("刑法（2020修正）", "in force", ""),
        ("刑法（2023年修正）", "in force", ""),
        ("刑法(2011修正)", "unknown", "do not hold 刑法 of 2011"),
        ("商标法（2026年修订）", "not yet in force", "takes effect on 2027-01-01"),
        ("刑法（2088修正）", "not yet in force", "there is no 刑法 of 2088"),
        ("宪法修正案（2018年）", "in force", ""),
    ],
)
def test_how_a_title_stands(title, status, reason):
    found = on().standing(title)
    assert found.status == status and reason in found.reason


def test_texts_follow_each_other():
    trademark = {day: on(date.fromisoformat(day)).find("商标法", 1).text for day in ("2026-12-31", "2027-01-01")}
    assert trademark["2026-12-31"] != trademark["2027-01-01"]
    assert on(date(2027, 1, 1)).standing("医疗保障法").status == "in force"
    assert on(date(2026, 8, 14)).standing("环境保护法").status == "in force"
    assert on(date(2020, 12, 31)).standing("合同法").status == "unknown", "law then, and its text is not held"
    assert on(date(2026, 7, 1)).standing("医疗保障法").status == "unknown", "before the snapshot it may have had a text"


def test_a_text_without_a_day_of_effect_is_not_known():
    """The amended 注册会计师法 names the day of its first text; known is what old and new text agree on."""
    statutes = on()
    assert statutes.unknown("注册会计师法", 2) and statutes.find("注册会计师法", 2) is None
    assert statutes.find("注册会计师法", 1) is not None and not statutes.unknown("注册会计师法", 1)
    assert not on(date(2027, 7, 1)).unknown("注册会计师法", 2), "a year after its adoption it counts as law"


@pytest.mark.parametrize(
    "title",
    ["最高人民法院关于审理民间借贷案件适用法律若干问题的规定", "道路交通安全法实施条例", "上海市养犬管理条例",
     "德国民法典", "企业职工带薪年休假实施办法", "联合国国际货物销售合同公约", "某法（草案）"],
)  # fmt: skip
def test_what_may_exist_though_it_is_not_held(title):
    assert on().standing(title) is None and may_exist(title)


@pytest.mark.parametrize("title", ["盗窃法", "中华人民共和国高利贷法", "网络言论法典", "行政程序法", "医疗法"])
def test_a_national_law_that_is_not_held_is_none(title):
    assert on().standing(title) is None and not may_exist(title)


def test_titles():
    assert edition("《中华人民共和国刑法（2020年修正）》") == ("刑法", 2020)
    assert edition("公司法（修订）") == ("公司法", None) and edition("1979年刑法") == ("刑法", 1979)
    assert edition("97刑法") == ("刑法", 1997) and edition("79年刑法") == ("刑法", 1979)
    assert edition("宪法修正案（2018年）") == ("宪法修正案(2018年)", None)


def write(folder, name, head, body=""):
    (folder / name).write_text(f"---\n{head}\n---\n{body}", encoding="utf-8")


def test_a_users_folder_wins(tmp_path):
    write(
        tmp_path, "xiii.txt",
        "law: 中华人民共和国刑法修正案（十三）\namends: 刑法\nadopted: 2026-10-01\neffective: 2026-11-01",
        "一、将刑法第三百九十条第一款修改为：“子。”\n二、在刑法第二百六十四条后增加一条，作为第二百六十四条之一：“丑。\n"
        "“寅。”\n三、本修正案自2026年11月1日起施行。\n",
    )  # fmt: skip
    write(
        tmp_path, "part.md", "law: 刑法\nadopted: 2026-10-01\neffective: 2026-11-01\npart: true",
        "第一条　甲。\n乙。\n",
    )  # fmt: skip
    write(
        tmp_path, "new.txt", "law: 中华人民共和国新法\nadopted: 2026-09-01\neffective: 2026-12-01\nsource: 公报",
        "第一章　总则\n第一条　为了甲，制定本法。\n第二条　有下列情形之一的：\n（一）乙；\n（二）丙。\n",
    )  # fmt: skip
    (tmp_path / "laws.yaml").write_text(
        "- {law: 献血法, repealed: 2026-11-20, replaced_by: 新法}\n"
        "- {law: 注册会计师法, adopted: 2026-06-26, effective: 2026-10-01}\n", encoding="utf-8",
    )  # fmt: skip
    statutes = on(folder=tmp_path)
    bribery = paragraphs(statutes.find("刑法", 390).text)
    assert bribery[0] == "子。" and len(bribery) == 3 and "（七）" in bribery[1]
    assert statutes.find("刑法", "第二百六十四条之一").text == "丑。\n寅。"
    assert statutes.find("刑法", 1).text == "甲。\n乙。"
    assert statutes.standing("新法").status == "not yet in force"
    assert on(date(2026, 12, 1), tmp_path).find("新法", 2).text == "有下列情形之一的：\n（一）乙；\n（二）丙。"
    assert on(date(2026, 12, 1), tmp_path).find("新法", 1).chapter == "第一章　总则"
    assert "2026-11-20 and replaced by 新法" in statutes.standing("献血法").reason
    assert not statutes.unknown("注册会计师法", 2)
    assert on(date(2026, 10, 31), tmp_path).find("刑法", 390) == on().find("刑法", 390)
    assert statutes.fingerprint != on().fingerprint == statutes_of(TODAY).fingerprint


def test_a_folder_replaces_a_whole_text_and_amends_others(tmp_path):
    write(
        tmp_path, "whole.txt", "law: 献血法\nadopted: 2026-10-01\neffective: 2026-11-01",
        "第一条　甲。\n第二条　乙。\n",
    )  # fmt: skip
    write(
        tmp_path, "decision.txt", "law: 修改引渡法的决定\namends: 引渡法\nadopted: 2026-10-01\neffective: 2026-11-01",
        "一、增加一条，作为第三条：“子。”\n",
    )  # fmt: skip
    statutes = on(folder=tmp_path)
    assert [(a.law, a.text) for a in statutes.articles("献血法")] == [
        ("中华人民共和国献血法", t) for t in ("甲。", "乙。")
    ]
    assert on(date(2026, 10, 31), tmp_path).articles("献血法") == on().articles("献血法")
    assert statutes.resolve_law("引渡法") is None and statutes.standing("引渡法").status == "unknown", "articles moved"
    assert on(date(2026, 10, 31), tmp_path).find("引渡法", 2) == on().find("引渡法", 2)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "第一条 甲", "a.txt lacks its head"),
        ("a.txt", "---\nlaw: 甲法\nadopted: 2020-01-01\n---\n第一条 甲", "lacks effective"),
        ("a.txt", "---\nlaw: 甲法\nadopted: 昨天\neffective: 2020-01-01\n---\n第一条 甲", "adopted is '昨天'"),
        ("a.txt", "---\nlaw: 甲法\nadopted: 2020-01-01\neffective: 2020-01-01\n---\n甲", "holds no text"),
        ("a.txt", "---\nlaw: 甲法\nfrom: 2020-01-01\n---\n第一条 甲", "no such key from"),
        ("laws.yaml", "甲法: 2020-01-01", "should be a list"),
        ("laws.yaml", "- {law: 甲法}", "entry 1 says nothing"),
        ("laws.yaml", "- {repealed: 2020-01-01}", "names no law"),
    ],
)
def test_what_is_wrong_in_a_folder_is_told(tmp_path, name, text, said):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        on(folder=tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        on(folder=tmp_path / "none")


def test_the_day_reaches_this_process_and_its_children(law):
    use_law("2024-02-29")
    code = "from curricula.statutes import load_statutes; print(load_statutes().find('刑法', 391).text)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert child == load_statutes().find("刑法", 391).text != on().find("刑法", 391).text
    with reading(TODAY):
        assert load_statutes() is on()
    assert load_statutes().as_of == date(2024, 2, 29)
    with pytest.raises(DataError, match="is not a day"):
        use_law("heute")


@pytest.mark.parametrize(
    ("numeral", "value"),
    [("十", 10), ("十七", 17), ("二十", 20), ("一百零三", 103), ("一千二百六十", 1260), ("264", 264)],
)
def test_numerals(numeral, value):
    assert to_int(numeral) == value
    assert article_key(f"第{numeral}条") == (value, 0)


def test_the_libraries_are_light():
    code = (
        "import time; t = time.process_time(); import rewards.library, curricula.tasks, curricula.corpora\n"
        "import sys; heavy = {'torch', 'ray', 'transformers', 'vllm', 'verl'} & set(sys.modules)\n"
        "assert not heavy, heavy; print(time.process_time() - t)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(answer.stdout) < 1.0
