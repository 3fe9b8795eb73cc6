"""The charges that a text names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import regex

from rewards.parsing.charge_names import CATCH_ALL, begins, first_characters, known_charges, longest, present_name
from rewards.parsing.text import plain, scan

MOST = 1_000
"""Names that are looked at."""
SHORT = 60
"""Characters up to which a text is read as a list: names count without 罪, and so do unknown ones."""

_NOT_BEFORE = regex.compile(
    r"(?:不构成|未构成|不成立|不是|并非|而非|而不是|不以|不属于|不应[定以]|不认定|不宜|不能认定|不符合|排除|区别于|不同于|有别于)[^\s,。;]{0,5}$"
)
_REFUSED = r"(?:不能?成立|不当|有误|错误|不准|不妥|不予采纳|不予支持|不予认定|不能认定|缺乏)"
_NOT_AFTER = regex.compile(
    rf"(?:的|罪名|罪|指控|定性|认定|起诉|\([^()]{{1,6}}\)){{0,4}}{_REFUSED}"
    rf"|的?(?:罪名)?的?(?:辩护|上诉)?(?:意见|观点|辩解|辩护|理由|指控|主张),?(?:本院)?{_REFUSED}"
)
_EARLIER = regex.compile(r"(?:曾经?|前科|此前|(?:19|20)\d\d年[^。;]{0,10}因)[^。;,]{0,12}$")
_BELOW = regex.compile(r"(?:原判|原审|一审)(?:法院|判决)?(?:认定|定性|判决|以|为|的|罪名|是)*$")
"""Before a charge of the court below; it counts where no other is named."""
_SUSPECTED = regex.compile(r"涉嫌(?:犯)?$")
_HELD = regex.compile(r",?(?:于[^,。;]{2,20})?被(?:[^,。;]{0,20})(?:拘留|逮捕|取保候审|立案|抓获|传唤|监视居住|羁押)")
"""After a charge of which somebody was suspected: 因涉嫌盗窃罪被刑事拘留."""
_SENTENCED = regex.compile(r"[^。;,]{0,8}(?:判处?|刑满|处罚|劳动教养|服刑)")
_APART = regex.compile(r"^$|[^\p{Han}]|[和与及或成犯为是以嫌定名系]")
_NUMBERS = regex.compile(
    r"第?[\d零〇一二两三四五六七八九十百千]{1,12}\s?条(?:之[\d一二三四五六七八九十]{1,3})?|《[^《》]{1,40}》|(?:中华人民共和国)?刑法"
)
_STAGE = regex.compile(r"\([^()]{1,12}\)(?=罪)")
_SEPARATOR = regex.compile(r"[,，;；。\s]+|和(?=\p{Han}{2,12}罪)|、")
_ITEM = regex.compile(r"^(?:\(?[\d一二三四五六七八九十]{1,3}\)?\s?[.、)]|[①-⑳])")
_FILLER = regex.compile(
    r"^(?:[\[【]?(?:罪名|答案|正确答案)[\]】]?(?:是|为)?[:：]?|犯有?|构成|涉嫌|已|应当?|定|属于|为|以|其?行为|被告人?|[:：)\]】])+"
    r"|(?:[:：.。]|\([^()]{0,12}\)?)+$"
)
_NO_NAME = regex.compile(
    r"(?:[无有该此本何数两二三四之犯同重轻定治问人些个种]|[两二三四数]个|各自?|分别|其他|构成|不构成犯|不构成任何犯|[是否认]*)罪|.*(?:数罪并罚|无罪|犯罪|罪名)"
)
_CUE = regex.compile(
    r"(?:罪名(?:分别)?[是为]?[:\]】]?|答案(?:是|为)?:?|构成|犯有?|涉嫌|认定[为是]?|定性为|定为|应?以|按照?|成立|属于?|系)\s?[\"“]?$"
)
_CUE_END = regex.compile(r"[\"”]?(?:\s|$|[,，.。;；、)<\]]|罪(?![犯行])|定罪|论处|追究|处罚|[二两三]罪|[和与及])")
_JOINED = regex.compile(r"\s?(?:[、,;和及与]|以及)\s?")


@dataclass(frozen=True)
class _Named:
    """A charge in its place."""

    name: str
    start: int
    end: int
    strong: bool
    """Whether it is written as a charge: with 罪, or after words such as 构成."""


def charges(text: str) -> frozenset[str]:
    """Names of the charges in a text, without 罪: 盗窃罪、诈骗罪 gives 盗窃 and 诈骗. A part of a selective charge
    gives the whole (贩卖毒品罪 gives 走私、贩卖、运输、制造毒品), and the longest name at a place counts, never a
    shorter one in it.

    A known charge is found in prose unless it is denied (不构成盗窃罪, 指控的盗窃罪不成立) or an earlier conviction;
    one of two characters only with 罪, after words such as 构成, or in a list with such; where some are written like
    that, names that only describe what was done do not count. In a short list names count alone, and so do unknown
    ones.
    """
    written = plain(text)
    if any(sign in written for sign in "条《(刑"):
        written = _STAGE.sub("", _NUMBERS.sub(",", written))
    named = _named(written)
    short = len(written) <= SHORT
    if not short and any(one.strong and not _denied(written, one) for one in named):
        named = [one for one in named if one.strong]
    else:
        named = [one for one in named if one.strong or one.end - one.start > 2 or (short and _apart(written, one))]
    found = {one.name for one in named if not _denied(written, one)}
    found = {one.name for one in named if not (_denied(written, one) or _before_judgment(written, one))} or found
    found = found - CATCH_ALL or found
    return frozenset(found | _unknown(written, named, bool(found)) if short else found)


def present_charges(text: str) -> frozenset[str]:
    """The charges of a text as charges in force: former names (偷税罪) as the present ones."""
    return frozenset(present_name(name) for name in charges(text))


def _named(written: str) -> list[_Named]:
    found: list[_Named] = []
    place = 0
    for first in scan(first_characters(), written):
        if first.start() < place or not begins(written, first.start()) or len(found) >= MOST:
            continue
        place = first.start()
        name = longest(written, place)
        if name is None:
            continue
        end = name[1]
        called = written[end : end + 1] == "罪" and written[end + 1 : end + 2] not in ("犯", "行")
        cued = _CUE.search(written, max(0, place - 12), place) and _CUE_END.match(written, end)
        joined = found and found[-1].strong and _JOINED.fullmatch(written, found[-1].end, place)
        found.append(_Named(name[0], place, end + called, bool(called or cued or joined)))
        place = end
    for place in range(len(found) - 2, -1, -1):  # 受贿、行贿罪
        earlier, later = found[place : place + 2]
        if later.strong and not earlier.strong and _JOINED.fullmatch(written, earlier.end, later.start):
            found[place] = replace(earlier, strong=True)
    return found


def _apart(written: str, one: _Named) -> bool:
    """Whether a name stands for itself, not in a longer word (信用诈骗, 盗窃数额)."""
    return bool(_APART.search(written, max(0, one.start - 1), one.start) and _CUE_END.match(written, one.end))


def _denied(written: str, one: _Named) -> bool:
    before = written[max(0, one.start - 24) : one.start]
    earlier = _EARLIER.search(before) and _SENTENCED.match(written, one.end)
    return bool(_NOT_BEFORE.search(before[-12:]) or _NOT_AFTER.match(written, one.end) or earlier)


def _before_judgment(written: str, one: _Named) -> bool:
    """Whether a charge is only that of the court below or of the investigation."""
    before = written[max(0, one.start - 12) : one.start]
    return bool(_BELOW.search(before) or (_SUSPECTED.search(before) and _HELD.match(written, one.end)))


def _unknown(written: str, named: list[_Named], known: bool) -> set[str]:
    """Names in a list that are not known charges."""
    rest, end = [], 0
    for one in named:
        rest.append(written[end : one.start])
        end = one.end
    found = set()
    for part in _SEPARATOR.split(",".join([*rest, written[end:]])):
        name = _ITEM.sub("", part)
        if _NO_NAME.fullmatch(name):
            continue
        name = _FILLER.sub("", name).removesuffix("罪")
        if 2 <= len(name) <= 20 and (part.endswith("罪") or name in known_charges() or not (known or named)):
            found.add(name)
    return found
