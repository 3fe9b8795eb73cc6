"""Citations against the law of a day: right, wrong or not known, and what rewards make of each."""

from datetime import date

import pytest

import rewards.library  # noqa: F401
from curricula.statutes import Setting, reading
from rewards.judge.prompts import official
from rewards.pool import WorkerPool
from rewards.statute_check import check_citations
from rewards.statute_judge import judge
from rewards.total import score
from rewards.verdict import Sample

TODAY = date(2026, 11, 26)
INTERPRETATION = "《最高人民法院关于审理买卖合同纠纷案件适用法律问题的解释》第七条"
UNITS = "情节严重的，对单位判处罚金，并对其直接负责的主管人员和其他直接责任人员，"
DECISION = "《全国人民代表大会常务委员会关于惩治骗购外汇、逃汇和非法买卖外汇犯罪的决定》"


@pytest.fixture(autouse=True)
def today():
    with reading(TODAY):
        yield


def sample(text):
    return Sample("问", text, "答")


def checked(text):
    return [(found.outcome, found.reason) for found in check_citations(text)]


@pytest.mark.parametrize(
    ("text", "answer", "reason"),
    [
        (f"刑法第387条：“{UNITS}处三年以下有期徒刑或者拘役”", "right", ""),
        (f"刑法第387条：“{UNITS}处五年以下有期徒刑或者拘役”", "wrong",
         "replaced on 2024-03-01 by 中华人民共和国刑法修正案（十二）"),
        ("《耕地保护和质量提升法》第二条", "wrong", "takes effect on 2027-01-01"),
        ("《物权法》第三十九条", "wrong", "物权法 was repealed on 2021-01-01 and replaced by 民法典"),
        ("依照民法通则第135条", "wrong", "民法通则 was repealed on 2021-01-01"),
        ("依照侵权责任法第六条", "wrong", "侵权责任法 was repealed on 2021-01-01"),
        ("《农村土地承包法》第九条", "right", ""),
        ("《刑法》第一百九十九条", "wrong", "has no 第199条"),
        ("《刑法》第二百六十三条第二款", "wrong", "has no paragraph 2"),
        ("《刑法》第二百六十三条第（八）项", "right", ""),
        ("《刑法》第二百六十三条第（九）项", "wrong", "has no item 9"),
        ("《中华人民共和国民法典》第一千零四十二条第一款", "right", ""),
        ("《中华人民共和国刑法》（2020年修正）第二百六十四条", "right", ""),
        ("《公司法》（2018年修正）第二十条", "unknown", "do not hold 公司法 of 2018"),
        ("《公司法》（2023年12月29日修订）第二十三条", "right", ""),
        ("《民法典·合同编》第五百零九条", "right", ""),
        ("民法典婚姻家庭编第一千零七十九条", "right", ""),
        ("《税收征管法》第六十三条", "right", ""),
        ("《治安处罚管理法》第四十三条", "wrong", "no law in force is named"),
        ("《消费者权益法》第五十五条", "unknown", "消费者权益保护法 may be meant"),
        ("《民事强制执行法》第一条", "unknown", "do not hold"),
        ("《民事诉讼法（试行）》第一条", "wrong", "repealed on 1991-04-09"),
        ("《土地改革法》第一条", "wrong", "repealed on 1987-11-24"),
        ("《刑法（2015修正）》第二百六十四条", "unknown", "do not hold 刑法 of 2015"),
        ("《刑法修正案（十一）》第三十三条", "right", ""),
        ("《刑法修正案（十一）》第六十条", "wrong", "has no 第60条"),
        ("《刑法修正案（九）》第四十九条“处五年以下有期徒刑或者拘役，并处罚金”", "wrong",
         "replaced by a later amendment"),
        (DECISION + "第一条第一款第（二）项", "right", ""),
        (INTERPRETATION, "unknown", "do not hold"),
        ("《最高人民法院关于适用《中华人民共和国民事诉讼法》的解释》第五百条", "unknown", "do not hold"),
        ("《工伤保险条例》第十四条第（一）项", "unknown", "do not hold"),
        ("依照治安处罚条例第三条", "unknown", "do not hold"),
        ("《广东省食品安全条例》第二十条", "unknown", "do not hold"),
        ("《瑞士民法典》第一条", "unknown", "do not hold"),
        ("《乡镇企业法》第二条", "unknown", "marked as repealed"),
        ("《注册会计师法》第三条", "unknown", "is not held"),
        ("《网约车惩治法》第三条", "wrong", "no law in force is named 网约车惩治法"),
    ],
)  # fmt: skip
def test_a_citation_is_right_wrong_or_not_known(text, answer, reason):
    ((found, why),) = checked(text)
    assert found == answer and reason in why


def test_articles_in_the_title_of_an_interpretation_are_no_citations():
    title = "《全国人大常委会关于〈中华人民共和国刑法〉第三百四十一条、第三百一十二条的解释》"
    assert checked(title) == [] and checked("《刑法第二百六十四条》") == [("right", "")]


def test_a_missing_paragraph_is_seen_beside_the_article():
    found = checked("《刑法》第264条“盗窃公私财物，数额较大的”，依该法第二百六十四条第四款")
    assert [answer for answer, _ in found] == ["right", "wrong"]
    assert len(checked("刑法第25条第一款，刑法第25条第二款")) == 1, "parts of one article are one citation"


@pytest.mark.parametrize(
    ("text", "share", "points"),
    [
        ("依《民法典》第五百七十七条。", 1.0, 2),
        (f"依《民法典》第五百七十七条和{INTERPRETATION}。", 1.0, 2),
        (f"依{INTERPRETATION}。", 0.5, 1),
        (f"依《合同法》第六十条和{INTERPRETATION}。", 0.0, 0),
        (f"依《民法典》第五百七十七条、《合同法》第六十条和{INTERPRETATION}。", 0.5, 0),
        ("依公平原则。", 0.0, 0),
    ],
)
def test_what_is_not_known_is_neither_rewarded_nor_punished(text, share, points):
    assert score("citation", sample(text)).score == share
    assert judge(sample(text))[0] == points and score("legal_validity", sample(text)).score == points / 2


def test_many_citations_that_cannot_be_checked_do_not_pay():
    stuffed = "".join(f"《甲条例》第{n}条。" for n in range(1, 17))
    assert (
        score("citation", sample(stuffed)).score == 0.25 and "16 citations" in score("citation", sample(stuffed)).reason
    )


def test_a_premise_of_repealed_law_is_none():
    text = "依《合同法》第六十条，当事人应当履行义务。本案被告未付款，原告起诉。因此被告应当付款。"
    assert "major premise" in score("syllogism", sample(text)).reason
    assert score("syllogism", sample(text.replace("《合同法》", "《某某条例》"))).score == 1


def test_the_judge_sees_that_a_law_is_not_held_rather_than_missing():
    text = official(f"{INTERPRETATION}；《合同法》第六十条；《刑法》第三百九十条", "zh")
    assert "条文库未收录" in text.split("\n")[0] and "现行法中没有此条" in text and "处三年以下有期徒刑" in text


def test_workers_read_the_day_of_the_process_that_starts_them():
    old = sample("刑法第391条“处三年以下有期徒刑或者拘役，并处罚金；情节严重的，处三年以上七年以下有期徒刑，并处罚金”")
    found = {}
    for day in (date(2024, 2, 29), date(2024, 3, 1)):
        with reading(day):
            pool = WorkerPool()
            found[day.day] = pool.score([old], {"citation": 1.0})[0].score
            pool.close()
    assert found == {29: 0.0, 1: 1.0}


def test_an_actor_reads_the_law_that_it_is_given():
    from rl.actors.reward import RewardActor
    from rl.config.schema import RewardConfig

    actor = RewardActor(RewardConfig(), Setting(date(2027, 1, 1)))
    try:
        assert actor.score([sample("依《医疗保障法》第一条")], {"citation": 1.0})[0].score == 1
    finally:
        actor.close()
