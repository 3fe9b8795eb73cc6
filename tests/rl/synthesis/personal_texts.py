"""Texts of judgments with known personal data, made by a seeded generator: names, numbers, addresses in varied
layouts and writings, and what only looks like them. Nothing here is shared with the masker."""
# ruff: noqa: E501  sentences stay in one piece

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.rl.synthesis.personal_draws import People
from tests.rl.synthesis.personal_names import (
    ANONYMOUS,
    CITIES,
    COMPANIES,
    COUNTIES,
    GIVEN,
    SINGLE,
)


@dataclass
class Made:
    """A text and its personal data."""

    pieces: list[str] = field(default_factory=list)
    spans: list[tuple[int, int, str]] = field(default_factory=list)
    size: int = 0

    def say(self, *pieces: str | tuple[str, str]) -> Made:
        """Add pieces; one that is personal data is (kind, text)."""
        for piece in pieces:
            kind, text = piece if isinstance(piece, tuple) else ("", piece)
            if kind:
                self.spans.append((self.size, self.size + len(text), kind))
            self.pieces.append(text)
            self.size += len(text)
        return self

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def person(name: str) -> tuple[str, str]:
    return "person", name


def text(seed: int) -> Made:
    """The text of a seed: criminal or civil, in one of several layouts."""
    rng = random.Random(seed)
    made, people = Made(), People(rng)
    (_criminal if rng.random() < 0.5 else _civil)(made, people, rng)
    return made


def _colon(rng: random.Random) -> str:
    return rng.choice(("：", "", "：", ":"))


def _personal(made: Made, people: People, rng: random.Random, name: str) -> None:
    """What follows a party's name."""
    spaced = len(name) == 2 and rng.random() < 0.1
    made.say(person(f"{name[0]}　{name[1]}" if spaced else name))
    if rng.random() < 0.15:
        made.say("（曾用名", person(people.name()), "）")
    year = rng.randrange(1945, 2005)
    made.say(f"，{rng.choice('男女')}，{year}年{rng.randrange(1, 13)}月{rng.randrange(1, 29)}日出生，")
    if rng.random() < 0.8:
        made.say(
            rng.choice(("公民身份号码", "公民身份号码：", "身份证号", "身份证号码为", "居民身份证号码")),
            ("id_number", people.id_number()),
            "，",
        )
    made.say(rng.choice(("汉族，", "汉族，初中文化，", "回族，农民，", "汉族，无业，")))
    region, rest = people.address()
    made.say(rng.choice(("住", "现住", "户籍所在地", "住址：", "家住", "户籍地")), region, ("address", rest))
    if rng.random() < 0.6:
        made.say(
            rng.choice(("，联系电话", "，电话：", "，手机号码", "，手机")),
            ("phone", people.mobile() if rng.random() < 0.7 else people.landline()),
        )
    if rng.random() < 0.1:
        made.say("，电子邮箱", ("email", people.email()))
    made.say("。")


def _head(made: Made, rng: random.Random, kind: str, line: str) -> None:
    if rng.random() < 0.85:
        made.say(
            f"{rng.choice(CITIES)}{rng.choice(COUNTIES)}人民法院{line}{kind}{rng.choice(('判决书', '判 决 书'))}{line}"
        )
        made.say(
            f"（{rng.randrange(2018, 2026)}）云0{rng.randrange(100, 999)}{kind[0]}初{rng.randrange(1, 9999)}号{line}"
        )


def _criminal(made: Made, people: People, rng: random.Random) -> None:
    line = rng.choice(("\n", "\n", "\n", " ", ""))
    _head(made, rng, "刑事", line)
    county, charge = rng.choice(COUNTIES), rng.choice(("盗窃", "诈骗", "故意伤害", "寻衅滋事"))
    made.say(f"公诉机关{county}人民检察院。{line}")
    accused = [people.name() for _ in range(rng.choice((1, 1, 2, 3)))]
    for name in accused:
        made.say("被告人" + _colon(rng))
        _personal(made, people, rng, name)
        made.say(f"因涉嫌{charge}于2024年1月3日被刑事拘留，同年2月1日被逮捕。{line}")
        if rng.random() < 0.5:
            made.say(rng.choice(("辩护人", "指定辩护人")), person(people.name()), f"，云州正道律师事务所律师。{line}")
    made.say(f"{county}人民检察院以云检刑诉〔2024〕{rng.randrange(1, 900)}号起诉书指控被告人")
    _listed(made, accused)
    made.say(
        f"犯{charge}罪，于2024年4月8日向本院提起公诉。本院依法组成合议庭，公开开庭审理了本案，现已审理终结。{line}经审理查明，"
    )
    victims = [people.name() for _ in range(rng.choice((1, 2, 3)))]
    for victim in victims:
        one = rng.choice(accused)
        _event(made, people, rng, one, victim)
    witness = [people.name() for _ in range(rng.choice((1, 2, 2)))]
    made.say(line, "上述事实，有被害人")
    _listed(made, victims)
    made.say("的陈述、证人")
    _listed(made, witness)
    made.say(rng.choice(("的证言", "证言")), "、价格认定结论书、现场勘验笔录等证据证实，足以认定。", line)
    made.say("本院认为，被告人")
    _listed(made, accused)
    made.say(
        f"的行为已构成{charge}罪。",
        person(accused[0]),
        "到案后如实供述，可以从轻处罚。依照《中华人民共和国刑法》第二百六十四条、第六十七条第三款之规定，判决如下：",
        line,
    )
    for number, name in zip("一二三", accused, strict=False):
        made.say(
            f"{number}、被告人",
            person(name),
            f"犯{charge}罪，判处有期徒刑{rng.choice('一二')}年，并处罚金人民币{rng.choice(('三千', '五千', '一万'))}元。{line}",
        )
    made.say(
        "责令被告人",
        person(accused[0]),
        "退赔被害人",
        person(victims[0]),
        rng.choice(("人民币3600元", "经济损失三千六百元", "3600元")),
        f"。{line}",
    )
    made.say(
        f"审判员　　{rng.choice(SINGLE)}{rng.choice(GIVEN)}{line}二〇二四年五月六日{line}书记员　　{rng.choice(SINGLE)}{rng.choice(GIVEN)}{line}"
    )


def _event(made: Made, people: People, rng: random.Random, one: str, victim: str) -> None:
    kind = rng.randrange(6)
    region, rest = people.address()
    if kind == 0:
        made.say(
            f"2024年1月{rng.randrange(1, 28)}日，被告人",
            person(one),
            "来到",
            region,
            ("address", rest),
            "被害人",
            person(victim),
            "家中，窃得现金人民币2300元。",
        )
    elif kind == 1:
        made.say(
            "2023年11月5日，",
            person(one),
            "驾驶",
            ("plate", people.plate()),
            "号小型轿车与",
            person(victim),
            "驾驶的电动自行车相撞，造成",
            person(victim),
            "受伤。",
        )
    elif kind == 2:
        made.say(
            "被告人",
            person(one),
            "使用手机号",
            ("phone", people.mobile()),
            "添加被害人",
            person(victim),
            "的微信，微信号为",
            ("account", "wx" + people.digits(6)),
            "，骗得人民币48,600元。",
        )
        made.say(
            person(victim), "将上述钱款转入", person(one), "名下的银行卡，卡号", ("bank_account", people.card()), "。"
        )
    elif kind == 3:
        made.say(
            "被告人",
            person(one),
            "因琐事与",
            person(victim),
            "发生争执，持木棍将其打伤。经鉴定，",
            person(victim),
            "的损伤程度为轻伤二级。",
        )
    elif kind == 4:
        other = people.name()
        made.say(
            "同年3月，被告人",
            person(one),
            "伙同",
            person(other),
            "（另案处理）盗走被害人",
            person(victim),
            "停放在楼下的电动车一辆，价值人民币二千一百元，订单编号为",
            "20240311" + people.digits(8),
            "。",
        )
    else:
        made.say(
            "被害人",
            person(victim),
            "报案称，其存折账号",
            ("bank_account", people.card()),
            "内的12,000元被人取走，QQ号",
            ("account", rng.choice("123456789") + people.digits(8)),
            "的使用者自称",
            rng.choice(ANONYMOUS),
            "。",
        )


def _listed(made: Made, names: list[str]) -> None:
    for place, name in enumerate(names):
        made.say("、" if place else "", person(name))


def _civil(made: Made, people: People, rng: random.Random) -> None:
    line = rng.choice(("\n", "\n", "\n", " ", ""))
    cause = rng.choice(("民间借贷纠纷", "离婚纠纷", "房屋租赁合同纠纷", "机动车交通事故责任纠纷"))
    _head(made, rng, "民事", line)
    plaintiff, defendant = people.name(), people.name()
    made.say("原告" + _colon(rng))
    _personal(made, people, rng, plaintiff)
    made.say(line)
    if rng.random() < 0.6:
        made.say("委托诉讼代理人" + _colon(rng), person(people.name()), f"，云州正道律师事务所律师。{line}")
    made.say("被告" + _colon(rng))
    _personal(made, people, rng, defendant)
    made.say(line)
    company = rng.choice(COMPANIES) if rng.random() < 0.5 else ""
    if company:
        region, rest = people.address()
        made.say(
            f"被告：{company}，住所地",
            region,
            ("address", rest),
            f"。{line}法定代表人：",
            person(people.name()),
            f"，总经理。{line}",
        )
    made.say(
        "原告",
        person(plaintiff),
        "与被告",
        person(defendant),
        f"、{company}" if company else "",
        cause,
        f"一案，本院于2024年3月4日立案后，公开开庭进行了审理。本案现已审理终结。{line}",
    )
    made.say(
        person(plaintiff),
        f"向本院提出诉讼请求：判令被告偿还借款50000元。{line}",
        person(defendant),
        f"辩称，借款属实。{line}",
    )
    third, fourth = people.name(), people.name()
    made.say(
        "本院经审理认定事实如下：2022年6月1日，经朋友",
        person(third),
        "介绍，",
        person(defendant),
        "向",
        person(plaintiff),
        "借款五万元，",
        person(plaintiff),
    )
    made.say("通过账户", ("bank_account", people.card()), "转账，", person(fourth), "作为见证人在借条上签字。")
    if rng.random() < 0.5:
        region, rest = people.address()
        made.say("双方约定以位于", region, ("address", rest), "的房屋作为担保，合同编号HT", people.digits(11), "。")
    if rng.random() < 0.3:
        made.say(
            "其后",
            person(defendant),
            "更换号码为",
            ("phone", people.mobile()),
            "，护照号码",
            ("passport", "E" + people.digits(8)),
            "。",
        )
    made.say(
        f"{line}本院认为，合法的借贷关系受法律保护。",
        person(third),
        "的证言与转账记录相互印证。依照《中华人民共和国民法典》第六百六十七条、第六百七十五条规定，判决如下：",
        line,
    )
    made.say(
        "一、被告",
        person(defendant),
        "于本判决生效之日起十日内偿还原告",
        person(plaintiff),
        rng.choice(("借款50000元", "50000元", "五万元")),
        f"；{line}二、驳回原告",
        person(plaintiff),
        f"的其他诉讼请求。{line}",
    )
    made.say(
        "案件受理费1050元，由被告",
        person(defendant),
        f"负担。{line}审判长　　{rng.choice(SINGLE)}{rng.choice(GIVEN)}{rng.choice(GIVEN)}{line}二〇二四年五月六日{line}书记员　　{rng.choice(SINGLE)}{rng.choice(GIVEN)}{line}",
    )
