# ruff: noqa: E501 (Chinese sentences are kept on one line)
"""Judgments as courts really write them, one kind of wording in each test: the elements that a reader would find."""

import pytest

from rl.inference.structuring.document import structure
from rl.inference.structuring.element_schema import check_document

CRIMINAL = (
    "云岭市北川区人民法院 刑事判决书 （2019）云0303刑初45号 公诉机关云岭市北川区人民检察院。 "
    "被告人方某，男，1991年2月3日出生，汉族，无业。 云岭市北川区人民检察院以北检刑诉〔2019〕40号起诉书指控被告人方某犯盗窃罪，"
    "于2019年3月1日向本院提起公诉。现已审理终结。 经审理查明，被告人方某窃得手机一部。 "
    "本院认为，被告人方某的行为已构成盗窃罪。依照《中华人民共和国刑法》第二百六十四条之规定，判决如下： "
)
CIVIL = (
    "海原市东江区人民法院\n民事判决书\n（2022）海0102民初310号\n原告：甘某，女，1980年2月2日出生。\n"
    "原告：甘小某，男，2001年3月3日出生。\n被告：石某，男，1985年4月4日出生。\n被告：安行财产保险有限公司海原分公司。\n"
    "原告甘某、甘小某诉被告石某、安行财产保险有限公司海原分公司机动车交通事故责任纠纷一案，本院受理后公开开庭进行了审理，"
    "现已审理终结。\n本院认为，石某负事故的全部责任。依照《中华人民共和国民法典》第一千一百七十九条之规定，判决如下：\n"
)
INSURER = "安行财产保险有限公司海原分公司"
SIGNED = " 审判员何远 二〇一九年三月二十日 书记员吴敏"


def values(text, name):
    document = structure(text)
    check_document(document)
    return [element["value"] for element in document["elements"].get(name, [])]


def sentences(ruling, signed=SIGNED, head=CRIMINAL):
    found = values(head + ruling + signed, "sentence")
    return [(v["defendant"], "、".join(v["charges"]), v["kind"], v["months"], v["fine_yuan"]) for v in found]


@pytest.mark.parametrize(
    ("tail", "names"),
    [
        (" 审判长钱立 人民陪审员孙慧 人民陪审员李文 二〇一九年三月二十日 代书记员周舟", ["钱立", "孙慧", "李文", "周舟"]),
        (" 审判长钱立人民陪审员孙慧人民陪审员李文 二〇一九年三月二十日 书记员周舟 附：相关法律条文", ["钱立", "孙慧", "李文", "周舟"]),
        (" 代理审判员欧阳文 二〇一九年三月二十日 法官助理徐可 书记员周舟（代）", ["欧阳文", "徐可", "周舟"]),
        (" 审判员乌兰图雅 二〇一九年三月二十日 代理书记员周舟附本案适用的法律条文： 《中华人民共和国刑法》", ["乌兰图雅", "周舟"]),
        ("\n审　判　长　　钱　　立\n审　判　员　　欧阳　文\n二〇一九年三月二十日\n书　记　员　　周　舟\n", ["钱立", "欧阳文", "周舟"]),
        (" 审判长 审判员 二〇一九年三月二十日 书记员周舟 第3页共3页", ["周舟"]),
        (" 陪审员李文 二〇一九年三月二十日 书记员周舟 —3—", ["李文", "周舟"]),
    ],
)  # fmt: skip
def test_signatures_that_run_together(tail, names):
    text = (
        CRIMINAL + "被告人方某犯盗窃罪，判处拘役三个月。 如不服本判决，可在接到判决书的第二日起十日内提出上诉。" + tail
    )
    assert [value["name"] for value in values(text, "judge")] == names
    assert values(text, "judgment_date") == ["2019-03-20"]


@pytest.mark.parametrize(
    "written",
    ["二O一九年三月二十日", "二0一九年三月二十日", "二Ο一九年三月二十日", "二○一九年三月二十日", "2019年 3月20日"],
)
def test_dates_with_signs_that_look_like_zero(written):
    ruling = "被告人方某犯盗窃罪，判处拘役三个月。 审判员何远 "
    assert values(CRIMINAL + ruling + written + " 书记员吴敏", "judgment_date") == ["2019-03-20"]


NOTE = "（刑期从判决执行之日起计算。判决执行以前先行羁押的，羁押一日折抵刑期一日，即自2019年1月2日起至2019年11月1日止）"


@pytest.mark.parametrize(
    ("ruling", "right"),
    [
        (f"被告人方某犯盗窃罪，判处有期徒刑十个月{NOTE}，并处罚金人民币二千元（已缴纳）。", [("方某", "盗窃", "fixed", 10, 2000)]),
        (f"被告人方某犯盗窃罪，判处有期徒刑十个月{NOTE}；并处罚金人民币二千元，罚金限本判决生效后十日内缴纳。",
         [("方某", "盗窃", "fixed", 10, 2000)]),
        ("被告人方某犯盗窃罪，判处有期徒刑一年，缓刑二年。并处罚金人民币6000元。", [("方某", "盗窃", "fixed", 12, 6000)]),
        ("被告人方某犯盗窃罪，判处有期徒刑一年，并处罚金一千元；犯诈骗罪，判处有期徒刑二年，并处罚金三千元。"
         "决定执行有期徒刑二年六个月，并处罚金四千元。", [("方某", "盗窃、诈骗", "fixed", 30, 4000)]),
        ("被告人方某犯盗窃罪，判处有期徒刑一年，并处罚金一千元；犯诈骗罪，判处有期徒刑二年；合并执行有期徒刑二年八个月，并处罚金一千元。",
         [("方某", "盗窃、诈骗", "fixed", 32, 1000)]),
        ("被告人方某犯盗窃罪，判处有期徒刑一年；被告人方某犯诈骗罪，判处有期徒刑二年。决定执行有期徒刑二年六个月。",
         [("方某", "盗窃、诈骗", "fixed", 30, None)]),
        ("被告人方某犯盗窃罪，判处有期徒刑一年。撤销本院（2017）云0303刑初9号刑事判决中对被告人方某宣告的缓刑，原判有期徒刑一年。"
         "数罪并罚，决定合并执行有期徒刑一年六个月。", [("方某", "盗窃", "fixed", 18, None)]),
        ("一、撤销云岭市北川区人民法院（2018）云0303刑初8号刑事判决，即：被告人方某犯盗窃罪，判处拘役四个月，并处罚金三千元。 "
         "二、被告人方某犯盗窃罪，判处拘役二个月，并处罚金一千元。", [("方某", "盗窃", "detention", 2, 1000)]),
        ("一、撤销原判第一项中的有期徒刑部分，即被告人方某犯盗窃罪，判处有期徒刑三年；被告人陶某犯盗窃罪，判处有期徒刑二年； "
         "二、被告人方某犯盗窃罪，判处有期徒刑二年。", [("方某", "盗窃", "fixed", 24, None)]),
        ("一、维持原判对被告人方某的罚金部分，即被告人方某犯盗窃罪，并处罚金人民币5000元。 "
         "二、撤销原判对被告人方某的主刑部分。 三、被告人方某犯盗窃罪，判处有期徒刑七个月。", [("方某", "盗窃", "fixed", 7, 5000)]),
        ("一、方某犯盗窃罪，判处有期徒刑三年缓刑四年，并处罚金20,000元。", [("方某", "盗窃", "fixed", 36, 20000)]),
        ("一、被告单位云岭远航商贸有限公司犯单位行贿罪，判处罚金人民币十万元； 二、被告人方某犯单位行贿罪，判处拘役四个月。",
         [("云岭远航商贸有限公司", "单位行贿", "fine_only", None, 100000), ("方某", "单位行贿", "detention", 4, None)]),
    ],
)  # fmt: skip
def test_what_is_executed_counts_and_what_is_revoked_does_not(ruling, right):
    assert sentences(ruling) == right


def test_the_accused_are_named_without_what_is_told_of_them():
    head = CRIMINAL.replace(
        "被告人方某，男", "被告人方某因涉嫌盗窃于2018年被拘留。 被告人自报柳二，女，1990年1月1日出生。被告人方某，男"
    )
    text = f"被告人方某盗窃一审刑事判决书 {head}一、被告人方某犯盗窃罪，判处拘役三个月。二、被告人柳二犯盗窃罪，判处拘役二个月。{SIGNED}"
    accused = [value["name"] for value in values(text, "party") if value["role"] == "被告人"]
    assert accused == ["方某", "柳二"] == [value["defendant"] for value in values(text, "sentence")]
    assert values(text.replace("（2019）云0303刑初45号", "北刑初字第45号"), "case_number") == ["北刑初字第45号"]
    assert values(text.replace("云岭市北川区人民法院 ", "云岭铁林区基层法院 "), "court") == ["云岭铁林区基层法院"]


def test_a_short_appeal_that_is_dismissed_says_what_stands():
    text = (
        "云岭市中级人民法院\n刑事判决书\n（2020）云03刑终7号\n上诉人（原审被告人）：方某，男，1991年2月3日出生。\n"
        "云岭市北川区人民法院作出刑事判决，方某不服，提出上诉。\n经审理查明，方某窃得手机一部。\n"
        "本院认为，上诉人方某的行为已构成盗窃罪。原审判决认定事实清楚，适用法律正确。依照《中华人民共和国刑事诉讼法》"
        "第二百三十六条之规定，判决如下：\n驳回上诉，维持原判。\n即被告人方某犯盗窃罪，判处有期徒刑八个月，并处罚金人民币一千元。\n"
        "审判长　　钱立\n二〇二〇年三月二日\n"
    )
    document = structure(text)
    assert document["instance"] == "second" and values(text, "outcome") == ["affirmed"]
    assert [(v["defendant"], v["months"], v["fine_yuan"]) for v in values(text, "sentence")] == [("方某", 8, 1000)]
    assert values(text, "charge") == ["盗窃"] and values(text, "judgment_date") == ["2020-03-02"]


REVIEW = (
    "云省高级人民法院 刑事裁定书 （2021）云刑核9号 被告人方某，男，1991年2月3日出生。 云岭市中级人民法院判决被告人方某犯故意杀人罪，"
    "判处死刑，缓期二年执行，依法报请本院核准。现已复核终结。 本院认为，原判量刑适当。依照《中华人民共和国刑事诉讼法》第二百四十八条之规定，"
    "裁定如下： {} 本裁定送达后即发生法律效力。 审判长钱立 二〇二一年五月六日"
)


@pytest.mark.parametrize(
    "ruling",
    [
        "核准云岭市中级人民法院以故意杀人罪判处被告人方某死刑，缓期二年执行，剥夺政治权利终身的刑事判决。",
        "核准云岭市中级人民法院（2020）云03刑初3号对被告人方某以故意杀人罪判处死刑，缓期二年执行，剥夺政治权利终身的刑事判决。",
    ],
)
def test_the_review_of_a_death_sentence(ruling):
    text = REVIEW.format(ruling)
    assert structure(text)["instance"] == "review" and values(text, "outcome") == ["confirmed"]
    (found,) = values(text, "sentence")
    assert (found["defendant"], found["charges"], found["kind"], found["reprieve_months"]) == (
        "方某", ["故意杀人"], "death", 24,
    )  # fmt: skip
    sent_back = REVIEW.format("一、不核准云岭市中级人民法院的刑事判决。 二、发回云岭市中级人民法院重新审判。")
    assert values(sent_back, "outcome") == ["remanded"] and values(sent_back, "sentence") == []


def test_commutations():
    text = (
        "云岭市中级人民法院 刑事裁定书 （2022）云03刑更88号 罪犯方某，男，1991年2月3日出生，现在云岭监狱服刑。 "
        "执行机关云岭监狱提出减刑建议，报送本院审理。现已审理终结。 本院认为，罪犯方某确有悔改表现，可予减刑。裁定如下： "
        "对罪犯方某减去有期徒刑六个月，剥夺政治权利一年不变。 审判长钱立 二〇二二年一月五日"
    )
    assert structure(text)["instance"] == "commutation" and values(text, "outcome") == ["commuted"]
    assert values(text, "reduction") == [{"defendant": "方某", "months": 6}] and values(text, "sentence") == []
    text = text.replace("对罪犯方某减去有期徒刑六个月", "将罪犯方某的刑罚减为有期徒刑二十二年")
    assert [(v["defendant"], v["kind"], v["months"]) for v in values(text, "sentence")] == [("方某", "fixed", 264)]


@pytest.mark.parametrize(
    ("ruling", "outcome"),
    [
        ("不准原告甘某与被告石某离婚。", "dismissed"),
        ("不准予原告甘某与被告石某离婚。", "dismissed"),
        ("驳回原告甘某要求与被告石某离婚的诉讼请求。", "dismissed"),
        ("准予原告甘某与被告石某离婚。", "granted"),
        ("一、准许原告甘某与被告石某离婚；\n二、驳回原告甘某的其他诉讼请求。", "partly_granted"),
        ("准许原告甘某撤诉。", "withdrawn"),
    ],
)
def test_how_a_divorce_case_ends(ruling, outcome):
    assert values(CIVIL + ruling + "\n审判员　何远\n二〇二二年三月四日\n", "outcome") == [outcome]


BOTH = ["甘某", "甘小某"]


@pytest.mark.parametrize(
    ("ruling", "right"),
    [
        (f"一、原告甘某、甘小某的损失：死亡赔偿金800000元、丧葬费40000元，合计840000元，由被告{INSURER}在责任限额内赔付600000元；"
         "不足部分240000元由被告石某承担。", [([INSURER], BOTH, 600000), (["石某"], BOTH, 240000)]),
        ("一、被告石某于本判决生效之日起十日内向原告甘某支付赔偿款50000元；", [(["石某"], ["甘某"], 50000)]),
        ("一、被告石某赔偿原告甘某医疗费3000元、误工费2000元，共计5000元；", [(["石某"], ["甘某"], 5000)]),
        (f"一、被告{INSURER}赔偿原告甘某、甘小某各项损失120000元；\n二、被告石某返还原告甘小某垫付款8000元；",
         [([INSURER], BOTH, 120000), (["石某"], ["甘小某"], 8000)]),
        (f"一、被告石某、{INSURER}连带赔偿二原告90000元；", [(["石某", INSURER], BOTH, 90000)]),
        ("一、驳回原告甘某要求被告石某支付精神损害抚慰金50000元的诉讼请求。", []),
        ("案件受理费2300元，由被告石某负担。", []),
    ],
)  # fmt: skip
def test_who_pays_whom(ruling, right):
    found = values(CIVIL + ruling + "\n审判员　何远\n二〇二二年三月四日\n", "payment")
    assert [(v["payers"], v["payees"], v["yuan"]) for v in found] == right


def test_claims_that_are_asked_for_with_other_words():
    text = CIVIL.replace(
        "现已审理终结。\n",
        "现已审理终结。\n原告甘某诉称，2021年5月被告驾车撞伤其夫，要求被告石某赔偿各项损失700000元。\n",
    )
    assert [v["yuan"] for v in values(text + "驳回原告的诉讼请求。", "claim")] == [700000]
    retrial = text.replace("民初310号", "民再终字第31号")
    assert structure(retrial)["instance"] == "retrial"
