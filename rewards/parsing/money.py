"""Sums of money in yuan."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import regex

from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.text import plain, scan

_SCALES = {
    "": 1, "百": 100, "千": 1_000, "万": 10_000, "百万": 1_000_000, "千万": 10_000_000, "亿": 100_000_000,
    "w": 10_000, "k": 1_000,  # as people write on a phone: 5w, 12.5k
}  # fmt: skip
FOREIGN = (
    "美|加拿大|新加坡|澳大利亚|新西兰|马来西亚|欧|港|日元|韩|英镑|加元|澳|新元|台币|新台币|泰|卢|法郎|越南盾|比索"
    "|USD|HKD|EUR|GBP|JPY"
)
"""What a number is followed by that is a sum in another currency, as a pattern."""
_AMOUNT = regex.compile(
    rf"(?<![\d数几上成好$€£])(?:(?P<about>约|近|大约|大概)\s?)?(?:(?P<sign>[¥￥]|人民币:?|RMB|罚[金款][为是:]?)\s?)?"
    rf"(?P<number>{NUMBER})\s?(?P<more>余|多)?(?P<scale>百万|千万|百|千|万|亿|[wWkK](?=元|块))?\s?(?P<more2>余|多)?\s?"
    rf"(?:(?P<unit>元|块钱?|圆|yuan)(?:零?(?P<jiao>{NUMBER})[角毛])?(?:零?(?P<fen>{NUMBER})分(?!之))?"
    rf"|(?P<letter>[wk])(?![A-Za-z\d])|(?P<coin>[角毛])(?:零?(?P<fen>{NUMBER})分(?!之))?)?(?(unit)(?!\s?(?:港币|港元|美金|美元|新?台币|日币|欧元))|(?(coin)|(?!\s?(?:{FOREIGN}|倍))))"
)
_BOUND_BEFORE = regex.compile(
    rf"(?:不超过|不到|不低于|不少于|不高于|至少|最高|最低|最多|超过|不足|不满|高于|低于|多于|少于|{NUMBER}\s?元?\s?(?:至|到|[-~—–]))(?:人民币)?\s?$"
)
_BOUND_AFTER = regex.compile(
    rf"(?:整|人民币)?\s?(?:以上|以下|以内|以外|之间|不等|(?:至|到|[-~—–])\s?(?:人民币)?{NUMBER})"
)
_RESULT = regex.compile(r"(?:=|等于|得出?)\s?(?:人民币)?\s?$")
_NOTE = r"(?:\([^()]{1,20}\)|人民币|共计|总计|合计|总额|数额|金额|[为是:约近刑\s])"
_FINE = regex.compile(rf"(?:罚金|罚款){_NOTE}{{0,6}}$")
_FINE_AFTER = regex.compile(r"(?:整)?的?(?:罚金|罚款)")
_JOINED = regex.compile(r"执行|并罚|合并|共|合计|总")
_SUM_ONLY = regex.compile(r"[,;\s]{0,2}(?:合计|共计|总计|共)[为是:]?(?:人民币)?\s?")
_NO_FINE = regex.compile(
    r"(?:不|未|免|免除|免予|免于|无|无需|没有|不予)(?:再|并|单){0,2}(?:处|判处|处以|科处?)?罚[金款]"
)
_OTHER = regex.compile(r"退赔|赔偿|没收|罚没|追缴|退缴|退赃|保证金|价值|违法所得|损失|[疗讼理定师工]费")
_SIGNS = ("unit", "sign", "coin", "letter")
"""Groups of ``_AMOUNT`` that make a number a sum of money."""
MOST = 1_000
"""Sums that are looked at, from the end."""


@dataclass(frozen=True)
class Amount:
    """A sum of money."""

    yuan: Fraction
    about: bool
    """Whether the text says more or less (5万余元, 约三千元)."""
    start: int
    """Where it stands in the folded text."""
    end: int = 0
    """Where it ends there."""
    bound: bool = False
    """Whether it only bounds a sum (三千元以上, 一万元至三万元)."""


def amounts(text: str) -> list[Amount]:
    """Every sum of money, in order: 五万元, 50,000元, 13万2千元, 5万余元, ¥3000, 八十二元三角六分, 人民币叁仟元整, 5w.
    A bare number does not count, nor does a sum in another currency."""
    return sums(plain(text))


def sums(written: str) -> list[Amount]:
    """The same of a plain text."""
    found = []
    matches = [match for match in scan(_AMOUNT, written) if any(match.group(*_SIGNS))]
    for match in matches[-MOST:]:
        try:
            yuan = value(match["number"]) * _SCALES[(match["scale"] or match["letter"] or "").lower()]
            yuan = yuan / 10 if match["coin"] else yuan + (value(match["jiao"]) / 10 if match["jiao"] else 0)
            yuan += value(match["fen"]) / 100 if match["fen"] else 0
        except ValueError:
            continue
        start, end = match.start("number"), match.end()
        before = written[max(0, start - 24) : start]
        bound = _BOUND_BEFORE.search(before) or _BOUND_AFTER.match(written, end)
        about = any(match.group("about", "more", "more2"))
        found.append(Amount(yuan, about, start, end, bool(bound) and not _calculated(written, before, end)))
    return found


def _calculated(text: str, before: str, end: int) -> bool:
    """Whether a minus, not a range, stands around a sum: 5000元-1200元=3800元."""
    return bool(_RESULT.search(before)) or "=" in text[end : end + 40]


def result(written: str, stated: list[Amount]) -> Amount | None:
    """The sum, of those that a plain text states, that a calculation ends with: 2250元+500元=2750元."""
    ends = [one for one in stated if _RESULT.search(written[max(0, one.start - 8) : one.start])]
    return ends[-1] if ends else None


def fine(text: str) -> Amount | None:
    """The fine that a text imposes: the sum beside 罚金 or 罚款, that of the joined punishment where several are named,
    0 where a fine is denied (不并处罚金), else the only sum there is. None when there is none: neither restitution nor
    the range of a statute is a fine."""
    written = plain(text)
    stated = sums(written)
    found: list[tuple[bool, bool, Amount]] = []  # of the joined punishment, a penal fine
    last = 0
    for one in stated:
        before, between = written[max(0, one.start - 40) : one.start], written[last : one.start]
        named = _FINE.search(before) or _FINE_AFTER.match(written, one.end)
        if one.bound or not (named or (found and _SUM_ONLY.fullmatch(between))):
            continue
        clause = regex.split("[。;]", between)[-1]
        found.append((bool(_JOINED.search(clause)), not named or "罚金" in named[0], one))
        last = one.end
    penal = [entry for entry in found if entry[1]] or found  # not a 行政罚款 before it
    joined = [one for together, _, one in penal if together]
    if penal:
        return joined[-1] if joined else penal[0][2]
    denied = _NO_FINE.search(written)
    if denied:
        return Amount(Fraction(0), False, denied.start(), denied.end())
    alone = len(stated) == 1 and not stated[0].bound and not _OTHER.search(written)
    return stated[0] if alone else None
