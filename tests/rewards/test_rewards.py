import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.parsing import article_refs
from rewards.registry import REWARDS, compose, reward, score
from rewards.rouge import lcs_f1
from rewards.statute_judge import judge
from rewards.verdict import Sample, Verdict


def sample(completion, reference="AB", kind="choice"):
    return Sample("题目", completion, reference, kind)


def done(answer, think="理由"):
    return f"<think>{think}</think><answer>{answer}</answer>"


def test_accuracy_and_format_of_a_good_completion():
    verdict = compose({"accuracy": 1.0, "format": 0.1})(sample(done("BA")))
    assert verdict.score == pytest.approx(1.1) and verdict.parts == {"accuracy": 1.0, "format": 1.0}


@pytest.mark.parametrize(
    "completion",
    [
        "AB", "<answer>AB</answer>", done("AB") + "又", "好" + done("AB"), done("AB") + "<answer>AB</answer>",
        "<answer>AB</answer><think>x</think>", "<think>x<think>y</think></think><answer>AB</answer>",
        "<think>x</think>中<answer>AB</answer>", "<think>x</think><answer>AB",
    ],
)  # fmt: skip
def test_format_wants_exactly_two_blocks(completion):
    assert score("format", sample(completion)).score == 0.0
    assert score("format", sample("\n" + done("AB") + "\n")).score == 1.0


@pytest.mark.parametrize("answer", ["ABCD", "A或B", "都选", "", "A" * 1000])
def test_tricks_do_not_pay(answer):
    assert score("accuracy", sample(done(answer))).score == 0.0


def test_rouge_l_by_hand():
    assert lcs_f1("盗窃公私财物", "盗窃公私财物") == 1.0
    assert lcs_f1("盗窃财物", "盗窃公私财物") == pytest.approx(2 * 4 / 10)
    assert lcs_f1("", "盗窃") == 0.0 and lcs_f1("", "") == 1.0


@given(st.text(max_size=30), st.text(max_size=30))
def test_rouge_l_is_symmetric_and_bounded(left, right):
    assert lcs_f1(left, right) == lcs_f1(right, left)
    assert 0 <= lcs_f1(left, right) <= 1 and lcs_f1(left, left) == 1


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("根据《中华人民共和国刑法》第二百六十四条，“盗窃公私财物，数额较大的”，构成盗窃罪。", 2),
        ("依照刑法第264条定罪。", 2),
        ("根据刑法第十七条之一，从宽。", 2),
        ("《刑法》第264条规定“抢夺他人汽车一律处以死刑”。", 1),
        ("根据《刑法》第九百九十九条。", 0),
        ("根据《合同法》第五十二条，合同无效。", 0),
        ("根据《电动车盗窃惩治法》第三条。", 0),
        ("根据刑法第264条和第九百九十九条。", 0),
        ("应当处罚。", 0),
    ],
)
def test_the_statute_judge(text, points):
    assert judge(sample(text))[0] == points
    assert score("legal_validity", sample(text)).score == points / 2


def test_an_invented_citation_is_named():
    assert "合同法" in score("legal_validity", sample("依《合同法》第五十二条")).reason
    assert [(c.law, c.key) for c in article_refs("《民法典》第1条，又第二条；《刑法》第三条")] == [
        ("民法典", (1, 0)), ("民法典", (2, 0)), ("刑法", (3, 0)),
    ]  # fmt: skip


def test_a_verdict_is_a_score_or_an_error():
    for bad in ((None, None), (1.0, "x")):
        with pytest.raises(ValueError, match="either"):
            Verdict(*bad)


def test_a_broken_reward_is_an_error_and_never_zero():
    @reward("test_broken")
    def broken(sample):
        raise RuntimeError("no")

    @reward("test_nan")
    def nan(sample):
        return Verdict(float("nan"))

    try:
        for name in ("test_broken", "test_nan"):
            verdict = compose({"accuracy": 1.0, name: 1.0})(sample(done("AB")))
            assert verdict.score is None and name in verdict.error
    finally:
        del REWARDS["test_broken"], REWARDS["test_nan"]


def test_unknown_reward_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean accuracy"):
        compose({"acuracy": 1.0})
