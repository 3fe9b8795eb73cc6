"""Personal data is found and masked: recall on generated texts, what is never touched, consistency, invariances."""

import json

import pytest

from curricula.statutes import load_statutes
from rl.inference.structuring.document import structure
from rl.synthesis.privacy.check_digits import credit_check, id_check, is_credit_code, is_id, luhn
from rl.synthesis.privacy.masking import Choice, mask, personal_data
from tests.rl.synthesis.judgments import judgments
from tests.rl.synthesis.measure_privacy import measure
from tests.rl.synthesis.personal_texts import text as generated
from tests.rl.synthesis.test_judgments import FORMS, found

ALL = judgments()
each = pytest.mark.parametrize("judgment", ALL, ids=[one.name for one in ALL])
ID = "11010519491231002" + "X"  # the example of GB 11643-1999


def test_recall_and_precision_on_generated_texts():
    figures = measure(map(generated, range(1_000, 1_120)))
    for kind, (places, hits, masked, right) in figures.items():
        assert hits >= 0.98 * places, kind
        assert right >= 0.98 * masked, kind
    assert figures["all"][0] > 2_000


@each
def test_the_personal_data_of_the_judgments_are_found(judgment):
    choice = Choice(credit_codes=True)
    spans = personal_data(judgment.text, choice)
    wanted = {(kind, value) for kind, values in judgment.personal.items() for value in map(str, values)}
    assert {
        (
            s.kind,
            "".join(judgment.text[s.start : s.end].split()) if s.kind == "person" else judgment.text[s.start : s.end],
        )
        for s in spans
    } == wanted
    masked = mask(judgment.text, choice).text
    assert not [value for _, value in wanted if value in masked]


@each
def test_masking_again_changes_nothing_and_the_law_of_the_case_stays(judgment):
    masked = mask(judgment.text)
    assert mask(masked.text).text == masked.text
    before, after = found(structure(judgment.text)), found(structure(masked.text))
    for key in (
        "kind",
        "instance",
        "document",
        "case_number",
        "charges",
        "articles",
        "outcome",
        "fee",
        "circumstances",
        "cause",
    ):
        assert after[key] == before[key], key
    assert [one["yuan"] for one in elements(masked.text, "claim")] == [
        one["yuan"] for one in elements(judgment.text, "claim")
    ]
    assert [one[2] for one in after["payments"]] == [one[2] for one in before["payments"]]
    assert [{**one, "who": ""} for one in after["sentences"]] == [{**one, "who": ""} for one in before["sentences"]]
    assert [len(one[0]) for one in after["payments"]] == [len(one[0]) for one in before["payments"]]
    assert elements(masked.text, "date") == elements(judgment.text, "date")


@pytest.mark.parametrize("form", FORMS)
def test_no_name_is_left_in_another_layout(form):
    for judgment in ALL:
        masked = mask(FORMS[form](judgment.text)).text
        assert not [name for name in judgment.personal["person"] if name in masked], judgment.name


def elements(text, name):
    return [element["value"] for element in structure(text)["elements"].get(name, [])]


def masks(text, **choice):
    return mask(text, Choice(**choice)).text


def test_a_person_has_one_mask_everywhere_and_two_of_one_surname_differ():
    text = "被告人张三，男，1980年1月1日出生。被害人张小明，女，汉族。张三与张小明系同事。后张三逃跑，张小明报警。"
    assert masks(text) == text.replace("张三", "张某1").replace("张小明", "张某2")


def test_names_that_the_court_has_anonymised_are_kept_and_their_masks_not_given_again():
    text = "原告：张某，男，1980年1月1日出生。被告：张某1，女，1981年1月1日出生。证人张伟、李某某的证言。王某甲到庭。"
    assert masks(text) == text.replace("张伟", "张某2")


@pytest.mark.parametrize(
    ("written", "masked"),
    [
        ("欧阳锋，男，1980年1月1日出生", "欧阳某1，男，1980年1月1日出生"),
        ("阿卜杜拉·买买提，男，1980年1月1日出生", "阿某1，男，1980年1月1日出生"),
        (f"公民身份号码{ID}", "公民身份号码某证件号1"),
        (f"公民身份号码{ID[:6]} {ID[6:14]} {ID[14:]}", "公民身份号码某证件号1"),
        ("身份证号１１０１０５１９４９１２３１００２Ｘ", "身份证号某证件号1"),
        ("身份证号码110105491231002", "身份证号码某证件号1"),
        ("手机13800001111", "手机某电话1"),
        ("手机138-0000-1111", "手机某电话1"),
        ("手机+86 138 0000 1111", "手机某电话1"),
        ("手机一三八〇〇〇〇一一一一", "手机某电话1"),
        ("电话(010)62345678转805", "电话某电话1"),
        ("座机0571-87654321", "座机某电话1"),
        ("电话62345678", "电话某电话1"),
        ("卡号6222021234567890128", "卡号某账号1"),
        ("账号 6222 0212 3456 7890 128", "账号 某账号1"),
        ("驾驶京A12345号轿车", "驾驶某车牌1 号轿车"),
        ("驾驶粤BD12345轿车", "驾驶某车牌1轿车"),
        ("驾驶苏E·7K2Q9轿车", "驾驶某车牌1轿车"),
        ("邮箱zhang.san@example.com.cn", "邮箱某邮箱1"),
        ("护照号码E12345678", "护照号码某护照号1"),
        ("微信号：zhang_san88", "微信号：某网络账号1"),
        ("QQ号123456789", "QQ号某网络账号1"),
        ("住云岭省云州市东江区建设路88号3栋2单元501室，", "住云岭省云州市东江区某地址1，"),
        ("在云州市东江区建设路88号3栋501室门口", "在云州市东江区某地址1门口"),
        # over the end of a line
        (f"身份证号{ID[:10]}\n{ID[10:]}，", "身份证号某证件号1，"),
        (f"身份证号{ID[:15]}\n{ID[15:]}，", "身份证号某证件号1，"),
        ("电话138\n00001111", "电话某电话1"),
        ("卡号6222\n0212 3456 7890 128", "卡号某账号1"),
        ("驾驶京A\n12345轿车", "驾驶某车牌1轿车"),
        ("驾驶京A12\n345轿车", "驾驶某车牌1轿车"),
        ("住云州市东江区建设路\n88号3栋501室。", "住云州市东江区某地址1。"),
        ("住云州市东江区建设路88\n号3栋501室。", "住云州市东江区某地址1。"),
        ("住云州市东江区建设路88号\n3栋501室。", "住云州市东江区某地址1。"),
        ("在云州市东江区建设路\n88号3栋501室门口", "在云州市东江区某地址1门口"),
        ("被告人张\n三盗窃。", "被告人张某1盗窃。"),
        ("被告人张\n三盗窃，张三供认。", "被告人张某1盗窃，张某1供认。"),
        # other separators
        ("电话138.0000.1111", "电话某电话1"),
        ("138_0000_1111", "某电话1"),
        ("(138)0000-1111", "某电话1"),
        ("电话0086-13800001111，即13800001111", "电话某电话1，即某电话1"),
        ("电话13800001111元", "电话某电话1 元"),
        ("驾驶京 A 1 2 3 4 5", "驾驶某车牌1"),
        ("住云州市东江区建 设 路 88 号。", "住云州市东江区某地址1。"),
        ("微信号zs", "微信号某网络账号1"),
        # names
        ("被害人张三丰与张三系父子。", "被害人张某1与张某2系父子。"),
        ("被害人张三丰与张三系父子。张三丰报警，张三离开。", "被害人张某1与张某2系父子。张某1报警，张某2离开。"),
        ("被告人高峰盗窃。", "被告人高某1盗窃。"),
        ("被告人黄河、江山盗窃。", "被告人黄某1、江山盗窃。"),
        ("被告人𠮷野盗窃，𠮷野供认。", "被告人𠮷某1盗窃，𠮷某1供认。"),
        ("被告人㑇五盗窃。", "被告人㑇某1盗窃。"),
        ("被告人买买提·吐尔逊盗窃，吐尔逊供述。", "被告人买某1盗窃，买某1供述。"),
        ("被告人阿不都热合曼不服，阿不都热合曼到案。", "被告人阿某1不服，阿某1到案。"),
        ("被告人艾尼瓦尔提出上诉。", "被告人艾某1提出上诉。"),
        ("被告人John Smith盗窃，John Smith供认。", "被告人J某1盗窃，J某1供认。"),
    ],
)
def test_every_kind_in_its_writings(written, masked):
    assert masks(written) == masked
    assert masks(masked) == masked


NEVER = (
    "依照《中华人民共和国刑法》第二百六十四条、第十七条之一，（2021）京0105民初12345号民事判决，起诉书京朝检刑诉〔2021〕1234号。",
    "共计人民币13800001111元、13,812,345,678.50元、一三八〇元、¥6222021234567890128元。",
    "2021年3月5日至二〇二一年十二月三十一日，20210305，2021.3.5。",
    "合同编号13800001111，订单号：6222021234567890128，发票号码12345678，法释〔2020〕17号。",
    "尾号1234的银行卡，编号为GB12345的钢材12345678公斤，每平方米2000元。",
    "原告应当支付货款，被告申请撤诉，原告于本判决生效后十日内付款，被告曾于同日陈述，被告方称，证人证言，被害人陈述，任何人不得。",
    "原告高远物流有限公司与被告李宁体育用品有限公司买卖合同纠纷一案，张氏公司、金辉贸易有限公司未到庭。",
    "金额为500000\n20210305，银行卡余额500000\n2021年3月5日，共13800\n138000元，1.3800138000，138.0013，IP为138.0.0.1。",
    "住云州市东江区。\n1号证据系书证。\n被告张某住所\n一、被告张某偿还欠款。",
    "高峰时段行人较多，黄河流域，江山如画，证人马上作证，被告人陈述与申辩，原告方与被告方，行人高峰期间，被告黄河路支行，"
    "被告黄山旅游有限公司，阿里巴巴，被告人John，《中华人民共和国·民法典》。",
    "身份证号110105********1234，电话138****1111，住某市某区某路某号。",
)


@pytest.mark.parametrize("text", NEVER)
def test_what_is_no_personal_data_is_never_touched(text):
    assert masks(text) == text


def test_a_sum_behind_a_name_stays_the_same_sum():
    text = "被告：张三，男，汉族。\n原告：李四，女，汉族。\n判决如下：被告赔偿李四30000元，张三三万元。"
    assert "赔偿李某1 30000元，张某1 三万元" in masks(text)


def test_officials_and_companies_are_masked_by_choice_only():
    code = "91350999MA2XY3456" + credit_check("91350999MA2XY3456")
    text = f"统一社会信用代码{code}。\n审判员　　王建国\n二〇二一年五月六日\n书记员　　李芳\n"
    assert masks(text) == text
    assert (
        masks(text, officials=True, credit_codes=True)
        == "统一社会信用代码某信用代码1。\n审判员　　王某1\n二〇二一年五月六日\n书记员　　李某1\n"
    )


def test_the_report_counts_and_holds_nothing_of_what_was_masked():
    report = mask("被告人张三，男，1980年1月1日出生，手机13800001111。张三到案。").report()
    assert report["counts"] == {"person": 2, "phone": 1} and report["values"] == {"person": 1, "phone": 1}
    assert [one["mask"] for one in report["spans"]] == ["张某1", "某电话1", "张某1"]
    assert "张三" not in json.dumps(report, ensure_ascii=False)


@pytest.mark.parametrize(
    "piece",
    [
        "路",
        "1 ",
        "张",
        "住",
        "·阿",
        "被告人",
        "张三、",
        "号1栋",
        "建设路",
        "1\n",
        "1_",
        "京A1\n",
        "被告人张\n",
        "张三与",
        "被告人阿艾",
        "被告人𠮷",
        "微信",
        "\n",
    ],
)
def test_long_text_without_sense_ends(piece):
    text = piece * (4_000 // len(piece))
    assert mask(mask(text).text).text == mask(text).text


def test_check_digits_by_the_examples_of_the_standards():
    assert id_check("11010519491231002") == "X" and is_id(ID) and not is_id("110105199913310021")
    assert luhn("4111111111111111") and not luhn("4111111111111112")
    assert is_credit_code("91350100M000100Y43") and not is_credit_code("91350100M000100Y44")
    assert load_statutes().find("刑法", "第264条")
