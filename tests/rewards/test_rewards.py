import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.statutes import load_statutes
from rewards.published import PUBLISHED
from rewards.registry import JUDGED, REWARDS, Part, reward
from rewards.rules.rouge import lcs_f1
from rewards.statute_judge import judge
from rewards.total import compose, expand, find, score, split
from rewards.verdict import Sample, Verdict

NAMES = (
    "exact_match", "option_set", "option_partial", "format", "rouge_l", "article_f1", "article_soft_f1",
    "charge_f1", "term_log", "term_cail", "term_ratio", "fine_ratio", "amount", "elements_f1", "entity_f1",
    "citation", "syllogism", "choice_analysis", "legal_validity", "rubric", "language", "length", "repetition",
    "readability",
)  # fmt: skip
QUESTION = "下列说法正确的是？\nA. 甲\nB. 乙\nC. 丙\nD. 丁"


def sample(completion, reference="AB", kind="choice", prompt="题目"):
    return Sample(prompt, completion, reference, kind)


def done(answer, think="理由"):
    return f"<think>{think}</think><answer>{answer}</answer>"


def given_score(name, answer, reference, **options):
    return score(name, sample(done(answer), reference), options).score


def test_every_reward_is_there_and_says_what_it_measures():
    find("accuracy")
    assert set(NAMES) <= set(REWARDS) and {"legal_validity", "rubric"} == JUDGED
    assert all(REWARDS[name].__doc__ for name in REWARDS)


def test_accuracy_and_format_of_a_good_completion():
    verdict = compose({"accuracy": 1.0, "format": 0.1})(sample(done("BA")))
    assert verdict.score == pytest.approx(1.1) and verdict.parts == {"accuracy": 1.0, "format": 1.0}


@pytest.mark.parametrize(
    "completion",
    [
        "AB", "<answer>AB</answer>", done("AB") + "又", "好" + done("AB"), done("AB") + "<answer>AB</answer>",
        "<answer>AB</answer><think>x</think>", "<think>x<think>y</think></think><answer>AB</answer>",
        "<think>x</think>中<answer>AB</answer>", "<think>x</think><answer>AB", done("AB", think=""), done("",
        think="x"),
        done("AB", think=" ……\n"),
    ],
)  # fmt: skip
def test_format_wants_exactly_two_blocks_that_say_something(completion):
    assert score("format", sample(completion)).score == 0.0
    assert score("format", sample("\n" + done("AB") + "\n")).score == 1.0
    assert score("format", sample("想</think><answer>AB</answer>", prompt="题目<think>\n")).score == 1.0


@pytest.mark.parametrize(
    ("name", "answer", "reference", "wanted"),
    [
        ("exact_match", "盗窃罪。", "盗窃罪", 1), ("exact_match", "ＡＢ", "AB", 1), ("exact_match", "抢劫罪", "盗窃罪",
        0),
        ("exact_match", "甲", '["乙", "甲"]', 1),
        ("option_set", "B、A", "AB", 1), ("option_set", "A", "AB", 0), ("option_set", "选ＡＢ", '["A", "B"]', 1),
        ("option_partial", "A", "AB", 0.5), ("option_partial", "ABC", "AB", 0), ("option_partial", "AB", "AB", 1),
        ("article_f1", "刑法第二百六十四条", "刑法第264条、第266条", 2 / 3), ("article_f1", "第264条", "[264]", 1),
        ("article_f1", "民法典第264条", "刑法第264条", 0), ("article_f1", "依刑法第264条", "《刑法》第264条", 1),
        ("article_f1", "第17条之一", "第17条", 0), ("article_f1", "不知道", "264", 0), ("article_f1", "264、266",
        "法条:刑法第264条、第266条", 1),
        ("charge_f1", "盗窃罪", '["盗窃", "诈骗"]', 2 / 3), ("charge_f1", "犯盗窃罪、诈骗罪", "诈骗、盗窃", 1),
        ("charge_f1", "不构成盗窃罪", "盗窃", 0), ("charge_f1", "[罪名]盗窃;诈骗<eoa>", "罪名:盗窃;诈骗", 1),
        ("term_log", "12个月", "有期徒刑一年", 1), ("term_log", "18个月", "12个月",
        1 - math.log(19 / 13) / math.log(216)),
        ("term_log", "无期徒刑", "无期徒刑", 1), ("term_log", "有期徒刑十年", "死刑", 0), ("term_log", "不知道", "12",
        0),
        ("term_log", "1年6个月", "18", 1),
        ("term_cail", "13个月", "12个月", 1), ("term_cail", "18个月", "12个月", 0.8), ("term_cail", "22个月", "12个月",
        0.6),
        ("term_cail", "24个月", "12个月", 0.4), ("term_cail", "33个月", "12个月", 0.2), ("term_cail", "60个月",
        "12个月", 0),
        ("term_ratio", "18个月", "12个月", 2 / 3), ("term_ratio", "0个月", "12个月", 0), ("term_ratio", "免予刑事处罚",
        "0", 1),
        ("fine_ratio", "并处罚金人民币五千元", "罚金一万元", 0.5), ("fine_ratio", "没有", "1000", 0), ("fine_ratio",
        "0元", "0", 1),
        ("amount", "共计五万元", "50000元", 1), ("amount", "5万元或者6万元", "50000", 0), ("amount",
        "[金额]50000<eoa>", "犯罪金额:50000.0元。", 1),
        ("amount", "49999元",
        "5万元", 0),
        ("amount", "先付1万元，再付2万元，合计三万元", "30,000元", 1),
        ("entity_f1", "嫌疑人:张三;受害人:李四", "嫌疑人:张三;受害人:李四;时间:无", 1),
        ("entity_f1", "嫌疑人:张三", "嫌疑人:张三;受害人:李四", 2 / 3), ("entity_f1", "嫌疑人:张", "嫌疑人:张三",
        2 / 3),
        ("rouge_l_chars", "盗窃财物", "盗窃公私财物", 0.8),
    ],
)  # fmt: skip
def test_scores_by_hand(name, answer, reference, wanted):
    assert given_score(name, answer, reference) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("option_set", "无"), ("article_f1", "无"), ("charge_f1", ""), ("term_log", "若干"), ("fine_ratio", "x"),
        ("amount", "x"),
        ("elements_f1", "x"), ("choice_analysis", "A"),
    ],
)  # fmt: skip
def test_a_reference_that_does_not_fit_is_an_error(name, reference):
    verdict = score(name, sample(done("A"), reference))
    assert verdict.score is None and name in verdict.error


def test_elements_are_compared_in_one_unit():
    gold = {"刑期": "180个月", "罚金": "50000元", "罪名": ["盗窃罪", "诈骗罪"], "被告": {"姓名": "张三"}, "备注": ""}
    same = {"罚金": "五万元", "刑期": "15年", "罪名": ["诈骗罪", "盗窃罪"], "被告": {"姓名": "张三"}}
    assert given_score("elements_f1", json.dumps(same, ensure_ascii=False), json.dumps(gold)) == 1
    assert given_score("elements_f1", f"```json\n{json.dumps(same)}\n```", json.dumps(gold)) == 1
    swapped = same | {"罚金": None, "赔偿": "五万元"}
    assert given_score("elements_f1", json.dumps(swapped), json.dumps(gold)) == pytest.approx(2 * 4 / 10)
    assert given_score("elements_f1", "刑期15年", json.dumps(gold)) == 0
    assert given_score("elements_f1", '{"刑期": 180}', '{"刑期": "180个月"}') == 1
    assert given_score("elements_f1", '{"刑期": 15}', '{"刑期": "180个月"}') == 0, "15 is not 15 years"


def test_provisions_match_softly():
    article = load_statutes().find("刑法", 264)
    near = article.text.replace("盗窃", "偷盗").replace("\n", "")
    for answer in ("《刑法》第264条", near, f"刑法第264条“{article.text[:20]}”"):
        assert given_score("article_soft_f1", answer, "《刑法》第二百六十四条") == 1, answer
    assert given_score("article_soft_f1", "《刑法》第266条", "《刑法》第264条") == 0, "another article is no paraphrase"
    assert given_score("article_soft_f1", "完全无关的一句话", "《刑法》第264条") == 0
    both = "《刑法》第264条\n《刑法》第264条"
    pair = '["《刑法》第264条", "《刑法》第266条"]'
    assert given_score("article_soft_f1", both, pair) == pytest.approx(0.5), "once each"


def test_rouge_l_over_words_equals_lcs_of_jieba():
    import jieba

    answer, reference = "被告人秘密窃取他人财物", "被告人以秘密窃取的方式取得他人财物"
    words = [[w for w in jieba.cut(text, HMM=False)] for text in (answer, reference)]  # noqa: C416
    assert given_score("rouge_l", answer, reference) == pytest.approx(lcs_f1(*words))
    assert given_score("rouge_l", reference, reference) == 1


@given(st.text(max_size=30), st.text(max_size=30))
def test_lcs_f1_is_symmetric_bounded_and_right(left, right):
    row = [0] * (len(right) + 1)
    for a in left:  # the textbook's dynamic program
        before = list(row)
        for column, b in enumerate(right):
            row[column + 1] = before[column] + 1 if a == b else max(before[column + 1], row[column])
    wanted = 2 * row[-1] / (len(left) + len(right)) if left and right else float(left == right)
    assert lcs_f1(left, right) == lcs_f1(right, left) == pytest.approx(wanted)


# --- citations and the statute judge ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("根据《中华人民共和国刑法》第二百六十四条，“盗窃公私财物，数额较大的”，构成盗窃罪。", 2),
        ("依照刑法第264条定罪。", 2),
        ("根据刑法第十七条之一，从宽。", 2),
        ("《刑法》第264条规定“抢夺他人汽车一律处以死刑”。", 1),
        ("《刑法》第264条规定“处五年以下有期徒刑、拘役或者管制”。", 1),
        ("《刑法》第266条规定“盗窃公私财物，数额较大的”。", 0),
        ("根据《刑法》第九百九十九条。", 0),
        ("根据《合同法》第五十二条，合同无效。", 0),
        ("根据《电动车盗窃惩治法》第三条。", 0),
        ("根据刑法第264条和第九百九十九条。", 0),
        ("应当处罚。", 0),
    ],
)
def test_the_statute_judge(text, points):
    assert judge(sample(text, prompt="q"))[0] == points
    assert score("legal_validity", sample(text)).score == points / 2


def test_the_statute_judge_follows_options_and_terms():
    right = "依《刑法》第264条，A项正确，符合规定。B项错误，不合规定。C、D项均违反规定，错误。"
    assert judge(sample(done("A", right), prompt=QUESTION)) == (2, "")
    assert judge(sample(done("B", right), prompt=QUESTION))[0] == 0
    assert judge(sample(done("A", right.replace("C、D", "C")), prompt=QUESTION)) == (1, "not discussed: D")
    law = "依刑法第二百四十五条，非法侵入住宅。"  # up to three years
    assert judge(sample(done("有期徒刑二年", law)))[0] == 2
    assert judge(sample(done("有期徒刑五年", law)))[0] == 0
    assert judge(sample(done("有期徒刑五年", law + "数罪并罚。")))[0] == 2, "then the range of one article says nothing"


def test_invented_citations_are_named():
    verdict = score("citation", sample("依《刑法》第264条、《合同法》第五十二条和《刑法》第九百条"))
    assert verdict.score == pytest.approx(1 / 3) and "合同法" in verdict.reason and "第900条" in verdict.reason
    assert score("citation", sample("没有引用")).score == 0


def test_every_article_quoted_in_full_is_valid():
    for article in load_statutes().articles("民法典")[::40]:
        text = article.text.split("。")[0]
        verdict = score("citation", sample(f"《民法典》{article.number}规定“{text[:300]}”"))
        assert verdict.score == 1, (article.number, verdict.reason)


def test_syllogism_and_choice_analysis():
    whole = "《刑法》第264条规定，盗窃公私财物的应予处罚。本案中，张某秘密窃取手机。因此构成盗窃罪。"
    assert score("syllogism", sample(whole)).score == 1
    assert score("syllogism", sample("因此构成盗窃罪。张某偷了手机。")).score < 1
    invented = whole.replace("《刑法》第264条", "《盗窃惩治法》第3条")
    assert score("syllogism", sample(invented)).score < 1, "an invented law is no premise"
    some = sample(done("A", "A项正确，符合规定。B项错误，不合规定。"), prompt=QUESTION)
    assert score("choice_analysis", some).score == 0.5


def test_form_of_the_text():
    assert score("language", sample("盗窃")).score == 1 and score("language", sample("theft of goods")).score == 0
    assert score("language", sample("盗窃theft")).score == pytest.approx(2 / 7)
    assert [given_score_raw("length", "字" * n) for n in (100, 3584, 3840, 4096, 9000)] == [0, 0, -0.5, -1, -1]
    assert score("length", sample("字" * 150), {"longest": 200, "buffer": 100}).score == -0.5
    assert (
        score("repetition", sample("盗窃公私财物" * 100)).score
        < 0.05
        < 0.9
        < score("repetition", sample("甲乙丙丁")).score
    )
    assert score("readability", sample("本案中，张三盗窃。\n因此构成犯罪。")).score > 0.9
    assert score("readability", sample("■□" * 200)).score < 0.5


def given_score_raw(name, completion):
    return score(name, sample(completion)).score


# --- composition ------------------------------------------------------------------------------------------------------


def test_range_and_clip():
    part = Part(2.0, range=(1, 5), clip=(0, 1))
    assert [part.of(x) for x in (1, 3, 5, 9, -3)] == [0, 1, 2, 2, 0]
    total = compose({"accuracy": Part(1.0, range=(0, 0.5)), "length": Part(0.5, options={"longest": 20, "buffer": 10})})
    assert total(sample(done("AB", "理由" * 40))).score == 2 - 0.5


def test_published_totals_are_their_parts():
    text = "秘密窃取他人财物，依刑法第264条。" * 8
    reference = "盗窃罪，刑法第264条，有期徒刑一年，罚金一万元"
    found = {name: compose({name: 1.0})(sample(done(reference, text), reference, "text")) for name in PUBLISHED}
    assert found["unilaw"].score == 2.0 and found["pdp"].score == 1.0 and found["legal_delta"].score == 6.0
    assert found["judge_r1"].score == pytest.approx(1.0)
    assert sum(PUBLISHED["judge_r1"].parts.values()) == pytest.approx(1.0)
    wrong = sample(done("抢劫罪", text), reference, "text")
    assert compose({"pdp": 1.0})(wrong).score == pytest.approx(0.1)
    rules, judged = split({"unilaw": 2.0})
    assert {**rules, **judged} == {"accuracy": Part(2.0), "format": Part(1.0), "legal_validity": Part(1.0)}
    assert list(judged) == ["legal_validity"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"acuracy": 1.0}, "did you mean accuracy"),
        ({"unilaw": 1.0, "format": 1.0}, "format is weighed twice"),
        ({"length": Part(options={"longst": 3})}, "no option longst; it takes longest, buffer"),
        ({"no.such.module:x": 1.0}, "can't be imported"),
        ({"math:pi": 1.0}, "is a float, not a function"),
        ({"pdp": Part(clip=(0, 1))}, "takes a weight alone"),
    ],
)
def test_what_cannot_be_composed(weights, message):
    with pytest.raises(ValueError, match=message):
        expand(weights)


def test_a_verdict_is_a_score_or_an_error():
    for bad in ((None, None), (1.0, "x")):
        with pytest.raises(ValueError, match="either"):
            Verdict(*bad)
    assert Verdict.read(Verdict(0.5, reason="r", parts={"a": 1.0}).to_json()) == Verdict(
        0.5, reason="r", parts={"a": 1.0}
    )
    assert Verdict.read(Verdict.failed("no").to_json()) == Verdict.failed("no")


def test_a_broken_reward_is_an_error_and_never_zero():
    @reward("test_broken")
    def broken(sample):
        raise RuntimeError("no")

    @reward("test_nan")
    def nan(sample):
        return Verdict(float("nan"))

    @reward("test_list")
    def listed(sample):
        return [1.0]

    try:
        for name in ("test_broken", "test_nan", "test_list"):
            verdict = compose({"accuracy": 1.0, name: 1.0})(sample(done("AB")))
            assert verdict.score is None and name in verdict.error
    finally:
        del REWARDS["test_broken"], REWARDS["test_nan"], REWARDS["test_list"]


# --- tricks -----------------------------------------------------------------------------------------------------------

LAW = "《刑法》第264条"


def quoted(number):
    text = load_statutes().find("刑法", number).text.replace("\n", "")
    return f"《刑法》第{number}条规定“{text}”"


@pytest.mark.parametrize(
    ("name", "trick", "honest"),
    [
        ("format", done("A", think=""), done("A")),  # empty think
        ("option_set", done("ABCD"), done("AB")),  # all options
        ("option_partial", done("ABCD"), done("A")),
        ("option_set", done("A或B"), done("AB")),
        ("option_set", done("A") + "<answer>B</answer><answer>AB</answer><answer>C</answer>", done("AB")),
        # answer repeated
        ("format", done("AB") * 3, done("AB")),
        ("option_set", "<think>理由<answer>AB</answer></think>", done("AB")),  # tags inside tags
        ("option_set", "<think>理由</think><answer><answer>AB</answer></answer>", done("AB")),
        ("citation", "".join(f"刑法第{n}条。" for n in range(100, 200)), LAW),  # citation stuffing
        ("legal_validity", LAW + "".join(f"刑法第{n}条。" for n in range(440, 470)), LAW),
        ("legal_validity", LAW + "".join(f"刑法第{n}条。" for n in range(100, 130)), LAW),
        (
            "legal_validity",
            "".join(quoted(n) for n in (263, 264, 266, 274)),
            quoted(264) + "本案中张某秘密窃取，构成盗窃。",
        ),
        (
            "syllogism",
            "依据本案因此，规定甲故，依照乙所以。",
            LAW + "规定盗窃应予处罚。本案中，张某秘密窃取手机。因此构成盗窃罪。",
        ),
        ("repetition", "盗窃罪成立。" * 200, "盗窃罪成立。"),
        ("repetition", load_statutes().find("刑法", 264).text * 5, load_statutes().find("刑法", 264).text),
        # statute at length
        ("length", load_statutes().find("刑法", 264).text * 50, LAW),
        ("language", done("AB", "The defendant secretly took it."), done("AB", "秘密窃取")),  # switching language
        ("choice_analysis", done("A", "ABCD"), done("A", "A项正确，符合规定。B项错误，不合规定。")),
        ("article_f1", done("、".join(f"第{n}条" for n in range(1, 400))), done("第264条")),
        ("charge_f1", done("盗窃罪、诈骗罪、抢劫罪、抢夺罪、侵占罪"), done("盗窃罪")),
        ("amount", done("1万元，2万元，3万元"), done("3万元")),
    ],
)
def test_tricks_do_not_pay(name, trick, honest):
    reference = {"article_f1": "264", "charge_f1": "盗窃", "amount": "3万元"}.get(name, "AB")
    prompts = {"choice_analysis": QUESTION}
    scores = [score(name, sample(text, reference, prompt=prompts.get(name, "题目"))).score for text in (trick, honest)]
    assert scores[0] < scores[1], scores


def test_the_question_copied_into_the_answer_earns_nothing():
    prompt = "甲秘密窃取财物，构成何罪？A. 盗窃罪 B. 诈骗罪"
    for name, reference in (("exact_match", "盗窃罪"), ("option_set", "A")):
        assert score(name, sample(done(prompt), reference, prompt=prompt)).score == 0


@pytest.mark.parametrize("answer", ["ABCD", "A或B", "都选", "", "A" * 1000])
def test_no_way_around_accuracy(answer):
    assert score("accuracy", sample(done(answer))).score == 0.0
