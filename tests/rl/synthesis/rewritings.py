"""Rewritings of the judgments by a seeded generator: faithful ones, in other numerals and another order, and such with
one fact changed, left out or added. Nothing here is shared with the check."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rl.inference.structuring.document import structure
from tests.rl.synthesis.judgments import Judgment

DIGITS = "〇一二三四五六七八九"


@dataclass(frozen=True)
class Rewriting:
    """A rewriting of a judgment's body."""

    source: str
    text: str
    changed: str
    """Kind of the fact that is changed; empty for a faithful one."""
    how: str


def body(judgment: Judgment) -> str:
    """Facts, reasoning and ruling of a judgment; its names, dates, numbers and law."""
    wanted = ("claims", "prior", "facts", "reasoning", "ruling")
    sections = structure(judgment.text)["sections"]
    return "".join(judgment.text[s["start"] : s["end"]] for s in sections if s["name"] in wanted)


def chinese(number: int) -> str:
    """A whole number below a hundred million in Chinese numerals."""
    if number >= 10_000:
        rest = number % 10_000
        return chinese(number // 10_000) + "万" + (("零" if rest < 1000 else "") + chinese(rest) if rest else "")
    written, zero = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // unit % 10
        if digit:
            written += ("零" if zero and written else "") + DIGITS[digit] + name
        zero = not digit
    return written.removeprefix("一") if 10 <= number < 20 else written


def other_numerals(text: str) -> str:
    """Sums, dates and articles in the other numerals: 5200元 as 五千二百元, 2024年1月29日 in Chinese, 第264条."""
    text = re.sub(
        r"(?<![\d.,])([1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,7})元",
        lambda m: chinese(int(m[1].replace(",", ""))) + "元",
        text,
    )
    text = re.sub(
        r"(\d{4})年(\d{1,2})月(\d{1,2})日",
        lambda m: "".join(DIGITS[int(one)] for one in m[1]) + f"年{chinese(int(m[2]))}月{chinese(int(m[3]))}日",
        text,
    )
    return re.sub("第([一二三四五六七八九十百千零]{1,9})条", lambda m: f"第{value(m[1])}条", text)


def value(written: str) -> int:
    """The value of a Chinese numeral below ten thousand."""
    total, digit = 0, 0
    for one in written:
        if one in "十百千":
            total += (digit or 1) * {"十": 10, "百": 100, "千": 1000}[one]
            digit = 0
        else:
            digit = DIGITS.find(one) if one != "零" else 0
    return total + digit


def months(text: str) -> str:
    """Terms of imprisonment in months: 一年二个月 as 14个月."""
    return re.sub(
        "徒刑([一二三四五六七八九十]{1,2})年([一二三四五六七八九十]{1,2})个月",
        lambda m: f"徒刑{value(m[1]) * 12 + value(m[2])}个月",
        text,
    )


def shuffled(text: str, rng: random.Random) -> str:
    """Its paragraphs in another order; a date without a year keeps the year before it."""
    pieces = [piece for piece in text.split("\n") if piece]
    rng.shuffle(pieces)
    return "\n".join(pieces)


def faithful_ones(judgment: Judgment, rng: random.Random) -> Iterator[Rewriting]:
    """Rewritings that change nothing."""
    source = body(judgment)
    short = source.replace("中华人民共和国", "").replace("，", ",").replace("。", "。\n")
    for how, text in (
        ("numerals", other_numerals(source)),
        ("months", months(source)),
        ("short names of laws", short),
        ("order", shuffled(source, rng)),
        ("all", shuffled(months(other_numerals(source)).replace("中华人民共和国", ""), rng)),
        ("words around", f"下面说明本案的情况。{source}以上就是本案的基本情况，供一般读者了解。"),
    ):
        yield Rewriting(source, text, "", how)


def changed_ones(judgment: Judgment, rng: random.Random) -> Iterator[Rewriting]:
    """Rewritings with one fact changed, left out or added."""
    source = body(judgment)
    base = other_numerals(source) if rng.random() < 0.5 else source
    for kind, change in (
        ("numbers", _other_sum),
        ("numbers", _other_term),
        ("dates", _other_date),
        ("citations", _other_article),
        ("citations", _other_law),
        ("names", _other_name),
    ):
        text = change(base, judgment, rng)
        if text and text != base:
            yield Rewriting(source, text, kind, change.__name__)
    for kind, pattern in (("numbers", r"\d{4,}元"), ("citations", "第[一二三四五六七八九十百千零]+条")):
        found = [one for one in sorted(set(re.findall(pattern, source))) if not _again(one, source)]
        if found:
            yield Rewriting(source, source.replace(rng.choice(found), ""), kind, "left out")
    name = rng.choice(judgment.personal["person"])
    if name in source:
        yield Rewriting(source, source.replace(name, "该人"), "names", "left out")
    yield Rewriting(source, f"{base}另查明，双方还涉及{rng.randrange(11, 99)}7元的款项。", "numbers", "added")
    yield Rewriting(source, f"{base}依照《中华人民共和国保险法》第十六条处理。", "citations", "added")
    yield Rewriting(source, f"{base}证人夏侯建平证实了上述事实。", "names", "added")
    yield Rewriting(source, f"{base}此事发生于2011年2月13日。", "dates", "added")


def _again(written: str, source: str) -> bool:
    """Whether a sum stands in other numerals too."""
    if not written.endswith("元"):
        return False
    number = int(written.removesuffix("元"))
    return chinese(number) in source or f"{number / 10_000:g}万" in source or "壹" in source


def _swap(text: str, pattern: str, other: str | None, rng: random.Random) -> str:
    found = sorted(set(re.findall(pattern, text)))
    if not found or other is None:
        return ""
    return text.replace(rng.choice(found), other)


def _other_sum(text: str, judgment: Judgment, rng: random.Random) -> str:
    return _swap(text, r"(?<![\d,.])\d{4,8}元", f"{rng.randrange(1001, 9999)}7元", rng) or _swap(
        text, "[一二三四五六七八九]千元", "七千一百元", rng
    )


def _other_term(text: str, judgment: Judgment, rng: random.Random) -> str:
    return _swap(text, "徒刑[一二三四五六七八九十]{1,2}年(?:[一二三四五六七八九十]{1,2}个月)?", "徒刑九年七个月", rng)


def _other_date(text: str, judgment: Judgment, rng: random.Random) -> str:
    return _swap(text, r"\d{4}年\d{1,2}月\d{1,2}日", "2012年12月28日", rng)


def _other_article(text: str, judgment: Judgment, rng: random.Random) -> str:
    return _swap(text, "第[一二三四五六七八九十百千零]+条", "第四百四十九条", rng)


def _other_law(text: str, judgment: Judgment, rng: random.Random) -> str:
    return _swap(text, "《中华人民共和国(?:刑法|民法典)》", "《中华人民共和国治安管理处罚法》", rng)


def _other_name(text: str, judgment: Judgment, rng: random.Random) -> str:
    names = [name for name in judgment.personal["person"] if name in text and "·" not in name]
    name = rng.choice(names) if names else ""
    return text.replace(name, name[0] + rng.choice(("德胜", "秋菊", "晓峰"))) if name else ""
