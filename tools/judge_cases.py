"""``python -m tools.judge_cases``: writes the 200 labelled cases for measuring judges, made from the statutes.

Labels are Unilaw-R1's points: 2 for a sound answer; 1 for a misquotation or an option passed over; 0 for another
article's number, a law no longer in force, or a conclusion against the premises.
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from curricula.statutes import Article, load_statutes, printed_articles
from curricula.tasks.renewed import renewed

PATH = Path(__file__).parent.parent / "rewards" / "data" / "judge_cases.jsonl"
LAWS = (
    "民法典", "刑法", "公司法", "劳动合同法", "消费者权益保护法", "行政处罚法", "治安管理处罚法", "道路交通安全法",
    "民事诉讼法",
    "食品安全法", "未成年人保护法", "个人信息保护法", "行政诉讼法", "著作权法", "反不正当竞争法",
)  # fmt: skip
REPEALED = {
    "合同法": 428, "婚姻法": 51, "继承法": 37, "物权法": 247, "侵权责任法": 92,
    "担保法": 96, "收养法": 34, "民法总则": 206, "民法通则": 156,
}  # fmt: skip
"""Laws that the Civil Code replaced on 1 January 2021, with their numbers of articles."""
DIGITS = "零一二三四五六七八九"


def numeral(number: int) -> str:
    """A Chinese numeral below ten thousand."""
    text = ""
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, number = divmod(number, unit)
        if digit:
            text += DIGITS[digit] + name
        elif text and number and not text.endswith("零"):
            text += "零"
    return text.removeprefix("一") if text.startswith("一十") else text


def sentence(article: Article) -> str:
    """The first sentence of an article."""
    return re.split(r"[。；\n]", article.text)[0]


def usable(article: Article) -> bool:
    """Whether an article's first sentence can be quoted in a case."""
    text = sentence(article)
    return 22 <= len(text) <= 90 and not re.search(r"[“”《》:：()（）]", text) and article.number.startswith("第")


def in_force(law: str, fits: Callable[[Article], bool]) -> tuple[Article, ...]:
    """Articles of a law in force to draw from. A change of the law changes only cases about the changed articles."""
    printed = [article for article in printed_articles() if article.short == law and fits(article)]
    now = [article for article in load_statutes().articles(law) if fits(article)]
    return renewed(printed, now, lambda article: article.number)


class Cases:
    """Draws cases."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.by_law = {law: in_force(law, usable) for law in LAWS}

    def article(self, law: str | None = None) -> Article:
        """A random article."""
        return self.rng.choice(self.by_law[law or self.rng.choice(LAWS)])

    def cited(self, law: str, number: str, quote: str | None) -> str:
        """A citation in one of several forms."""
        name = self.rng.choice([f"《中华人民共和国{law}》", f"《{law}》", law])
        if self.rng.random() < 0.3 and "之" not in number:
            number = f"第{to_number(number)}条"
        if quote is None:
            return f"{name}{number}"
        form = self.rng.choice(
            [
                "{c}载有“{q}。”",
                "查{c}，其文曰：「{q}」。",
                "规则来自{c}：“{q}”。",
                "{c}（“{q}……”）。",
                "由{c}可知，“{q}”。",
            ]
        )
        return form.format(c=name + number, q=quote)

    def facts(self) -> str:
        """A minor premise."""
        who = self.rng.choice(["甲", "乙公司", "王某", "原告李某", "丙与丁", "陈某某"])
        what = self.rng.choice(
            ["满足上面的条件", "遇到的正是这种局面", "与对方在此事上意见相左", "所为落入这一规则", "请求照此办理"]
        )
        return self.rng.choice(["把规则放到事实上看，", "再说事实：", "本次争议中，", "从材料看，"]) + who + what + "。"

    def outcome(self) -> tuple[str, str]:
        """(last sentence of the reasoning, answer) of an open question."""
        answer = self.rng.choice(["照此规则办", "请求可以得到支持", "按这一条定责", "此条管得着这件事"])
        return self.rng.choice(["这样一来，", "归结起来，", "答案也就清楚了：", "最后，"]) + answer + "。", answer

    def open_case(self, kind: str, points: int, citation: str) -> dict[str, Any]:
        """A question without options."""
        end, answer = self.outcome()
        ask = self.rng.choice(["法律上怎么看？", "该怎么办？要写出法条。", "谁有理？凭哪一条？"])
        case = self.rng.choice(["两家人为一件事吵了起来。", "一位市民来信求助。", "调解室里来了两方。"])
        return record(kind, points, case + ask, citation + self.facts() + end, answer, answer)

    def right(self) -> dict[str, Any]:
        """Sound: open, with options, or a sentence within the article's range."""
        draw = self.rng.random()
        if draw < 0.4:
            found = self.article()
            quote = sentence(found) if self.rng.random() < 0.8 else None
            return self.open_case("right", 2, self.cited(found.short, found.number, quote))
        return self.choice("right") if draw < 0.8 else self.sentencing("right")

    def wrong_number(self) -> dict[str, Any]:
        """The text of one article under the number of another, or a number that the law does not have."""
        found = self.article()
        if self.rng.random() < 0.3:
            last = max(to_number(a.number) for a in load_statutes().articles(found.short) if a.number.startswith("第"))
            number = f"第{numeral(last + self.rng.randint(5, 300))}条"
        else:
            others = [a for a in self.by_law[found.short] if a.key != found.key and sentence(a) != sentence(found)]
            number = self.rng.choice(others).number
        return self.open_case("wrong_number", 0, self.cited(found.short, number, sentence(found)))

    def repealed(self) -> dict[str, Any]:
        """A law that is no longer in force."""
        law = self.rng.choice(list(REPEALED))
        number = f"第{numeral(self.rng.randint(1, REPEALED[law]))}条"
        quote = sentence(self.article("民法典")) if self.rng.random() < 0.4 else None
        return self.open_case("repealed", 0, self.cited(law, number, quote))

    def misquoted(self) -> dict[str, Any]:
        """The right number with words that are not in the article."""
        while True:
            found = self.article()
            changed = self.changed(sentence(found))
            if changed is not None:
                return self.open_case("misquoted", 1, self.cited(found.short, found.number, changed))

    def changed(self, text: str) -> str | None:
        """A sentence with another meaning; None where nothing can be changed."""
        swaps = [
            ("应当", "可以"),
            ("可以", "应当"),
            ("不得", "可以"),
            ("以上", "以下"),
            ("以下", "以上"),
            ("有权", "无权"),
            ("或者", "并且"),
            ("全部", "部分"),
            ("之前", "之后"),
            ("同意", "知情"),
        ]
        fit = [(a, b) for a, b in swaps if a in text]
        numbers = re.findall(r"[二三四五六七八九](?=[年日月倍])", text)
        if numbers and self.rng.random() < 0.6:
            return text.replace(numbers[0], DIGITS[(DIGITS.index(numbers[0]) % 8) + 2], 1)
        return text.replace(*self.rng.choice(fit), 1) if fit else None

    def option_skipped(self) -> dict[str, Any]:
        """One option is not discussed."""
        return self.choice("option_skipped")

    def against_premises(self) -> dict[str, Any]:
        """The answer is not the conclusion of the reasoning."""
        return self.sentencing("against_premises") if self.rng.random() < 0.35 else self.choice("against_premises")

    def choice(self, kind: str) -> dict[str, Any]:
        """A question with four options about the content of a law."""
        while True:
            law = self.rng.choice(LAWS)
            pool = [(a, altered) for a in self.by_law[law] if (altered := self.changed(sentence(a))) is not None]
            if len(pool) >= 4:
                break
        chosen = self.rng.sample(pool, 4)
        truth = [self.rng.random() < 0.4 for _ in chosen]
        truth[self.rng.randrange(4)] = True
        truth[truth.index(True) - 1] = False
        options = [sentence(a) if true else altered for (a, altered), true in zip(chosen, truth, strict=True)]
        prompt = f"以下关于{law}的表述，哪些正确？\n" + "\n".join(
            f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=True)
        )
        skipped = self.rng.randrange(4) if kind == "option_skipped" else None
        style = self.rng.randrange(4)
        lines = [
            self.discussed(style, letter, article, law, true)
            for place, (letter, (article, _), true) in enumerate(zip("ABCD", chosen, truth, strict=True))
            if place != skipped
        ]
        right = "".join(letter for letter, true in zip("ABCD", truth, strict=True) if true)
        given = right
        if kind == "against_premises":
            sets = ["A", "B", "C", "D", "AB", "AC", "AD", "BC", "BD", "CD", "ABC", "ABD", "ACD", "BCD"]
            given = self.rng.choice([s for s in sets if s != right])
        points = {"right": 2, "option_skipped": 1, "against_premises": 0}[kind]
        return record(kind, points, prompt, "".join(lines), given, right)

    def discussed(self, style: int, letter: str, article: Article, law: str, true: bool) -> str:
        """The sentence about one option."""
        where = f"{self.rng.choice([f'《{law}》', law])}{article.number}"
        good = self.rng.choice(
            ["和法条对得上，是正确的", "没有问题，符合规定", "这句话正确", "讲得对，应当选入", "经核对无误"]
        )
        bad = self.rng.choice(
            ["和法条对不上，是错误的", "偷换了字眼，不符合规定", "这句话不正确", "讲得不对，不应选入", "经核对有误"]
        )
        says = good if true else bad
        forms = (
            f"{letter}：出处是{where}，{says}。",
            f"至于{letter}项，翻到{where}，{says}。",
            f"【{letter}】{where}——{says}\n",
            f"选项{letter}涉及{where}，{says}；",
        )
        return forms[style]

    def sentencing(self, kind: str) -> dict[str, Any]:
        """A crime with one range of fixed terms, and a sentence inside or outside it."""
        pattern = r"处([二三五七])年以下有期徒刑"

        def one_range(article: Article) -> bool:
            ranges, terms = re.findall(pattern, article.text), re.findall(r"有期徒刑", article.text)
            return len(terms) == 1 == len(ranges) and "之" not in article.number and len(article.text) < 200

        article = self.rng.choice(in_force("刑法", one_range))
        match = re.search(pattern, article.text)
        assert match is not None
        most = 12 * DIGITS.index(match[1])
        months = self.rng.randint(8, most) if kind == "right" else most + self.rng.randint(12, 60)
        years, rest = divmod(months, 12)
        length = (f"{numeral(years)}年" if years else "") + (f"{numeral(rest)}个月" if rest else "")
        answer = f"有期徒刑{length}"
        who = self.rng.choice(["赵某", "被告人钱某", "孙某某"])
        prompt = f"已查明{who}犯下刑法{article.number}所定之罪。刑期多久合适？"
        think = f"量刑的依据是{self.cited('刑法', article.number, None)}，{who}并无特别情节。"
        return record(kind, 2 if kind == "right" else 0, prompt, think + "刑期就在其中取。", answer, answer)


def to_number(number: str) -> int:
    """The article number as an integer."""
    from curricula.numerals import article_key

    return article_key(number)[0]


def record(kind: str, points: int, prompt: str, think: str, answer: str, reference: str) -> dict[str, Any]:
    """A case."""
    completion = f"<think>{think}</think><answer>{answer}</answer>"
    return {"kind": kind, "points": points, "prompt": prompt, "completion": completion, "reference": reference}


def cases(seed: int) -> list[dict[str, Any]]:
    """200 cases."""
    drawn = Cases(seed)
    makers: list[tuple[Callable[[], dict[str, Any]], int]] = [
        (drawn.right, 50), (drawn.wrong_number, 30), (drawn.repealed, 30), (drawn.misquoted, 30),
        (drawn.option_skipped, 30), (drawn.against_premises, 30),
    ]  # fmt: skip
    return [make() for make, count in makers for _ in range(count)]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(prog="python -m tools.judge_cases", description="Labelled cases for judges.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=PATH)
    chosen = parser.parse_args(argv)
    lines = [json.dumps(case, ensure_ascii=False) for case in cases(chosen.seed)]
    chosen.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
