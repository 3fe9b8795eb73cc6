"""Rulings in the forms that courts use: who pays what, how a case ends, what is upheld, changed or refused."""

import pytest

from rl.inference.structuring.document import structure

CIVIL = """\
梅溪市北城区人民法院
民事判决书
（2023）梅0102民初41号
原告：耿某安，男，汉族，1970年1月2日出生。
被告：芮某，男，汉族，1982年3月4日出生。
被告：梅溪市通运货运有限公司，住所地梅溪市。
原告耿某安与被告芮某、梅溪市通运货运有限公司{cause}一案，本院于2023年2月1日立案后，公开开庭进行了审理。本案现已审理终结。
本院认为，原告的请求有理。依照《中华人民共和国民法典》第一千一百六十五条第一款规定，判决如下：
{ruling}
案件受理费100元，由被告芮某负担。
审判员 邬某
二〇二三年四月五日
"""
SECOND = """\
梅溪市中级人民法院
刑事判决书
（2022）梅01刑终9号
原公诉机关梅溪市北城区人民检察院。
上诉人（原审被告人）芮某，男，1982年3月4日出生，汉族。
原审被告人仇某，男，1985年3月4日出生，汉族。
本院认为，原判量刑部分不当。依照《中华人民共和国刑事诉讼法》第二百三十六条第一款第（一）项、第（二）项之规定，判决如下：
{ruling}
审判长 邬某
二〇二二年四月五日
"""
REVIEW = """\
最高人民法院
刑事裁定书
（2019）最高法刑核7号
被告人芮某，男，汉族，1982年3月4日出生。
本院依法组成合议庭进行了复核。本院认为，部分事实不清。依照《中华人民共和国刑事诉讼法》第二百五十条之规定，裁定如下：
{ruling}
审判长 邬某
二〇一九年四月五日
"""
COMPANY = "梅溪市通运货运有限公司"


def values(text, name):
    return [element["value"] for element in structure(text)["elements"].get(name, [])]


def payments(ruling, cause="机动车交通事故责任纠纷"):
    found = values(CIVIL.format(ruling=ruling, cause=cause), "payment")
    return [("、".join(one["payers"]), "、".join(one["payees"]), one["yuan"]) for one in found]


@pytest.mark.parametrize(
    ("ruling", "right"),
    [
        ("一、被告芮某赔偿原告耿某安损失80,000元，扣除已付20,000元，还应赔偿60,000元；",
         [("芮某", "耿某安", 60_000)]),
        (f"一、被告芮某赔偿原告耿某安50,000元；\n二、被告{COMPANY}对上述第一项确定的债务承担连带责任；",
         [(f"芮某、{COMPANY}", "耿某安", 50_000)]),
        (f"一、被告芮某赔偿原告耿某安50,000元；\n二、被告{COMPANY}对芮某不能清偿的部分承担补充赔偿责任；",
         [("芮某", "耿某安", 50_000)]),
        (f"一、被告芮某赔偿原告耿某安50,000元；\n二、被告{COMPANY}不承担连带责任；", [("芮某", "耿某安", 50_000)]),
        (f"一、原告耿某安的损失共计90000元，由被告{COMPANY}赔偿60000元，余款30000元由被告芮某赔偿；",
         [(COMPANY, "耿某安", 60_000), ("芮某", "耿某安", 30_000)]),
        (f"一、被告芮某赔偿原告耿某安50,000元；\n二、被告{COMPANY}返还原告耿某安7,000元；\n"
         f"三、被告{COMPANY}对被告芮某的上述债务承担连带责任；",
         [(f"芮某、{COMPANY}", "耿某安", 50_000), (COMPANY, "耿某安", 7_000)]),
        ("一、被告芮某支付原告耿某安租金36000元及违约金1800元；",
         [("芮某", "耿某安", 36_000), ("芮某", "耿某安", 1_800)]),
        ("一、被告芮某按每月2500元的标准向原告耿某安支付房屋占有使用费；", [("芮某", "耿某安", 2_500)]),
        ("一、婚生女由原告耿某安抚养，被告芮某每月支付抚养费800元；", [("芮某", "耿某安", 800)]),
        ("一、婚生女随原告耿某安共同生活，被告芮某自2023年5月起每月给付抚养费800元；", [("芮某", "耿某安", 800)]),
        ("一、被告芮某于2023年5月1日前支付原告耿某安20000元，于2023年6月1日前支付30000元；",
         [("芮某", "耿某安", 20_000), ("芮某", "耿某安", 30_000)]),
        ("一、被告芮某偿还原告耿某安借款90000元及利息（以90000元为基数，自2022年1月1日起计算）；",
         [("芮某", "耿某安", 90_000)]),
        (f"一、被告芮某赔偿原告耿某安1500元，被告{COMPANY}承担连带赔偿责任；",
         [(f"芮某、{COMPANY}", "耿某安", 1_500)]),
        (f"一、被告芮某赔偿原告耿某安1500元，被告{COMPANY}不承担连带责任；", [("芮某", "耿某安", 1_500)]),
        ("对原告耿某安要求被告芮某归还借款8万元的诉讼请求不予支持。", []),
    ],
)  # fmt: skip
def test_who_pays_what(ruling, right):
    assert payments(ruling) == right


@pytest.mark.parametrize(
    ("ruling", "outcome"),
    [
        ("对原告耿某安要求被告芮某归还借款8万元的诉讼请求不予支持。", "dismissed"),
        ("一、被告芮某归还原告耿某安8万元；\n二、原告耿某安的其他诉讼请求不予支持。", "partly_granted"),
        ("一、被告芮某归还原告耿某安8万元。", "granted"),
    ],
)
def test_a_request_that_finds_no_support_is_dismissed(ruling, outcome):
    assert values(CIVIL.format(ruling=ruling, cause="民间借贷纠纷"), "outcome") == [outcome]


def test_a_short_name_is_the_party():
    text = CIVIL.replace("被告：梅溪市通运货运有限公司，", "被告：梅溪市通运货运有限公司（以下简称通运公司），")
    found = values(text.format(ruling="通运公司赔偿耿某安6,000元。", cause="买卖合同纠纷"), "payment")
    assert [(one["payers"], one["payees"]) for one in found] == [([COMPANY], ["耿某安"])]


def test_defendants_who_are_named_together_are_each_sentenced():
    text = SECOND.replace("刑终", "刑初").replace("上诉人（原审被告人）", "被告人").replace("原审被告人", "被告人")
    ruling = "被告人芮某、仇某犯开设赌场罪，各判处有期徒刑一年，并处罚金五千元。"
    found = values(text.format(ruling=ruling), "sentence")
    assert [(one["defendant"], one["months"], one["fine_yuan"]) for one in found] == [
        ("芮某", 12, 5_000),
        ("仇某", 12, 5_000),
    ]
    found = values(text.format(ruling="被告人芮某犯盗窃罪判处拘役三个月并处罚金二千元。"), "sentence")
    assert [(one["charges"], one["months"], one["fine_yuan"]) for one in found] == [(["盗窃"], 3, 2_000)]


def test_what_parties_agreed_in_a_mediated_case_is_paid():
    text = CIVIL.replace("判决书", "调解书").replace("判决如下：", "经本院主持调解，当事人自愿达成如下协议：")
    ruling = (
        "一、被告芮某尚欠原告耿某安货款70000元，被告芮某于2023年9月1日前支付30000元，余款40000元于2023年10月1日前付清；"
    )
    found = values(text.format(ruling=ruling, cause="买卖合同纠纷"), "payment")
    assert [(one["payers"], one["payees"], one["yuan"]) for one in found] == [
        (["芮某"], ["耿某安"], 30_000),
        (["芮某"], ["耿某安"], 40_000),
    ]
    assert not values(text.format(ruling=ruling, cause="买卖合同纠纷"), "outcome")


def test_an_appeal_that_changes_one_part_amends():
    upheld = "一、维持（2021）梅0102刑初8号刑事判决第二项，即被告人仇某犯盗窃罪，判处拘役四个月；\n"
    changed = "二、撤销（2021）梅0102刑初8号刑事判决第一项，即被告人芮某犯盗窃罪，判处有期徒刑二年；\n"
    new = "三、上诉人芮某犯盗窃罪，判处有期徒刑一年。"
    text = SECOND.format(ruling=upheld + changed + new)
    assert values(text, "outcome") == ["amended"]
    assert {(one["defendant"], one["months"]) for one in values(text, "sentence")} == {("仇某", 4), ("芮某", 12)}
    assert values(text, "party")[0] == {"role": "原公诉机关", "name": "梅溪市北城区人民检察院", "formerly": None}
    assert values(text, "article")[1]["item"] == 2
    assert values(SECOND.format(ruling="驳回上诉，维持原判。"), "outcome") == ["affirmed"]


def test_a_death_sentence_that_is_not_confirmed_is_no_sentence():
    ruling = "一、不核准维持第一审对被告人芮某以故意杀人罪判处死刑，剥夺政治权利终身的刑事裁定；\n二、发回重新审判。"
    text = REVIEW.format(ruling=ruling)
    assert not values(text, "sentence") and not values(text, "charge")
    assert values(text, "outcome") == ["remanded"]


def test_a_refused_request_to_annul_is_dismissed_and_a_civil_part_leaves_a_conviction():
    text = CIVIL.replace("民事", "行政").replace("民初", "行初").replace("与被告", "不服被告")
    text = text.format(ruling="驳回原告耿某安要求撤销〔2022〕8号行政处罚决定的诉讼请求。", cause="治安管理处罚决定")
    assert values(text, "outcome") == ["dismissed"] and values(text, "cause") == ["治安管理处罚决定"]
    text = SECOND.replace("刑终", "刑初").replace("上诉人（原审被告人）", "被告人")
    ruling = "一、被告人芮某犯故意伤害罪，判处拘役三个月；\n二、驳回附带民事诉讼原告人的其他诉讼请求。"
    assert values(text.format(ruling=ruling), "outcome") == ["convicted"]


def test_articles_of_an_agreement_are_no_law_and_every_item_is_read():
    text = CIVIL.replace(
        "第一千一百六十五条第一款规定",
        "第五百七十七条、劳动合同第三条、《行政诉讼法》第七十条第（一）项、第（三）项、《刑法》第七十二条第一、三款规定",
    )
    found = values(text.format(ruling="驳回起诉。", cause="劳动争议"), "article")
    assert [(one["law"], one["article"], one["paragraph"], one["item"]) for one in found] == [
        ("民法典", "第577条", None, None),
        ("行政诉讼法", "第70条", None, 1),
        ("行政诉讼法", "第70条", None, 3),
        ("刑法", "第72条", 1, None),
        ("刑法", "第72条", 3, None),
    ]
