"""The search of test questions in records that come one by one."""

from curricula.contamination import Contamination, Found, Record, TestQuestion, plain

STEM = "甲乘夜潜入乙家窃得现金五千元，出门时被乙发现，甲为抗拒抓捕将乙打成轻伤，甲的行为应如何定性？"
OTHER = "丙公司与丁公司签订建设工程施工合同，工程竣工后丁公司拒绝支付剩余工程款，丙公司可以主张什么权利？"


def search():
    return Contamination(
        Found([TestQuestion("exam 1", str(n), plain(text)) for n, text in enumerate((STEM, OTHER, "短题"))])
    )


def record(text):
    return Record("a.jsonl:1", text, text)


def test_a_record_that_holds_or_resembles_a_question_hits_it_and_leaves_the_questions_as_they_were():
    contamination = search()
    assert [one.id for one in contamination.hits(record(f"请看：{STEM} 答案是什么"))] == ["0"]
    assert [one.id for one in contamination.hits(record(OTHER.replace("什么权利", "哪些权利")))] == ["1"]
    assert contamination.hits(record("短题")) == contamination.hits(record("民法典的基本原则有哪些？")) == []
    assert all(item.share == item.similarity == 0 for item in contamination.found.items)


def test_of_the_records_noted_the_closest_is_remembered():
    contamination = search()
    for place, text in enumerate((STEM[:30], STEM, STEM[:40])):
        contamination.note(Record(f"a:{place}", text, text))
    item = contamination.found.items[0]
    assert (item.share, item.share_in, item.similarity, item.similar_to) == (1.0, "a:1", 1.0, "a:1")
    assert contamination.close(record(STEM[:30]))[0].share == (28 - 12) / (len(plain(STEM)) - 12)


def test_no_questions_hit_nothing():
    assert Contamination(Found()).hits(record(STEM)) == []
