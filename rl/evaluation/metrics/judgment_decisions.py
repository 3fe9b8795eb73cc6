"""What a criminal judgment decides, as JuDGE (Su et al. 2025, arXiv 2503.14258) reads it out of a whole document.

``decided`` follows the published rules: sections by their fixed phrases; terms and fines added up over the *different*
phrases that name them, so that two defendants with the same term count once; articles of the criminal law in Chinese
numerals; charges after 犯, brought to the nearest known name. ``decided_fixed`` adds up every phrase, and reads
articles in any numerals and with 之一. Life counts as 240 months, death as 10,001.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import cn2an
import regex
from rapidfuzz.distance import Levenshtein

from curricula.numerals import to_int
from rewards.parsing import article_refs, folded, known_charges
from rewards.parsing.text import scan

LIFE, DEATH = 240, 10_001
FAR = 0.4
"""From this edit distance on, as a share of the longer name, a name is not a known charge."""
_HAN = "[\u4e00-\u9fa5]"
_HEADING = [regex.compile(rf"{start}{_HAN}{{0,10}}。") for start in ("审理终结", "公开开庭审理")]
_CHARGED = regex.compile(rf"{_HAN}{{0,10}}(?:公诉|抗诉)机关[\u4e00-\u9fa5，、]{{0,30}}(?:认为|指控)")
_DECIDED = [regex.compile(end) for end in ("判决如下[:：,，\n]", "判决如下", "裁定(?:如下)?[:：\n]")]
_END = [
    regex.compile(end)
    for end in (
        rf"如{_HAN}{{0,3}}不服本判决", r"\n\s*本判决为终审判决",
        rf"如{_HAN}{{0,5}}未按本判决指定的期间{_HAN}{{0,5}}给付金钱义务",
        r"\n\s*(?:代理)?审\s{0,3}判\s{0,3}[长员]", "附录", "附：", rf"附{_HAN}{{0,10}}(?:法律|：)",
        r"\n\s*本案[^\n]{0,10}法律",
        "\n《",
    )
]  # fmt: skip
_TERM = regex.compile("(?:管制|拘役|有期徒刑).{1,7}[年月]")
_TERM_END = regex.compile("[,;，。！？、；：（以缓至]")
_OTHER = regex.compile("无期徒刑|死刑|无罪|免予刑事处罚|免于刑事处罚|免予刑事处分")
_FINE = regex.compile("罚金.{1,15}元")
_FINE_END = regex.compile("[，。！？、；：以已至（]")
_CRIMINAL_LAW = regex.compile(r"《(?:中华人民共和国刑法》\s?[零一二三四五六七八九十第]|刑法》第).*?[。《判附规]")
_UNITLESS = regex.compile("^[零一二三四五六七八九]+([零一二三四五六七八九])$")
_NUMERAL = regex.compile(
    r"(?>(?:\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,8})?|\d{1,15}(?:\.\d{1,8})?)\s?[十百千万亿]{0,2}"
    "|[零〇一二两三四五六七八九十百千万亿壹贰叁肆伍陆柒捌玖拾佰仟廿点]{1,20}|半)"
)
_SCALES = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "亿": 100_000_000}
_ALONE = {"百": "一百", "千": "一千", "半": "零"}
_ARTICLE = regex.compile("第([一二三四五六七八九零十百]+)条")
_CHARGE = regex.compile("犯([^罪犯，。；《》（）]+?)罪")
_PARTS = regex.compile("[一二三四五六七八九十]{1,3}、|（[一二三四五六七八九十]{1,3}）")


@dataclass(frozen=True)
class Decision:
    """What a document decides."""

    months: int
    """Sum of the terms; -1 where none is named."""
    yuan: int
    """Sum of the fines; -1 where none is named."""
    charges: frozenset[str]
    articles: frozenset[int | tuple[int, int]]
    reasoning: str
    judgment: str


NOTHING = Decision(-1, -1, frozenset(), frozenset(), "", "")
"""The decision of a document that decides nothing."""


def sections(document: str) -> tuple[str, str]:
    """(reasoning, judgment) of a document."""
    text = regex.sub(r"(?<!\d),(?!\d)", "，", regex.sub("<[^<>]{0,200}>|&#xD;|\ufffd", "", document))
    text = text.translate(str.maketrans({":": "：", "(": "（", ")": "）", " ": "", "\u3000": "", "\xa0": ""}))
    start = next((match.end() for cue in _HEADING if (match := cue.search(text))), None)
    if start is None:
        charged = _CHARGED.search(text)
        start = charged.start() if charged else 0
    place = text.find("本院认为", start)
    rest = text[place if place >= 0 else start :]
    cut = next((match.end() for cue in _DECIDED if (match := cue.search(rest))), len(rest))
    ends = (match.start() for cue in _END if (match := cue.search(rest, cut)))
    return rest[:cut], rest[cut : next(ends, len(rest))] or rest[cut:]


def decided(document: str) -> Decision:
    """By the published rules."""
    reasoning, judgment = sections(document)
    terms = set(_terms(judgment) or _terms(document))
    fines = set(_fines(judgment) or _fines(document))
    cited = _cited(reasoning if _CRIMINAL_LAW.search(reasoning) else document)
    named = _named(judgment) or _named(document)
    return Decision(_total(terms, _months), _total(fines, _yuan), named, cited, reasoning, judgment)


def decided_fixed(document: str) -> Decision:
    """Every defendant's term and fine, and articles in any numerals."""
    reasoning, judgment = sections(document)
    terms, fines = _terms(judgment) or _terms(document), _fines(judgment) or _fines(document)
    cited = frozenset(ref.key for ref in article_refs(reasoning) if ref.law == "刑法")
    named = _named(judgment) or _named(document)
    return Decision(_total(terms, _months), _total(fines, _yuan), named, cited, reasoning, judgment)


def ratio(wanted: int, given: int) -> float | None:
    """1 - |a - b| / max(a, b); 0 where only one side names a value or is death; None where neither names one."""
    if wanted < 0 and given < 0:
        return None
    if wanted == given:
        return 1.0
    if min(wanted, given) < 0 or (wanted - 10_000) * (given - 10_000) < 0:
        return 0.0
    return 1 - abs(wanted - given) / max(wanted, given)


def _terms(text: str) -> list[str]:
    cut = [_TERM_END.split(match[0], maxsplit=1)[0] for match in scan(_TERM, text)]
    return cut + [match[0] for match in scan(_OTHER, text)]


def _fines(text: str) -> list[str]:
    cut = (_FINE_END.split(match[0], maxsplit=1)[0] for match in scan(_FINE, text))
    return [phrase.replace(",", "") for phrase in cut if "元" in phrase]


def _total(phrases: Iterable[str], read: Callable[[str], int]) -> int:
    found = [read(phrase) for phrase in phrases]
    return sum(found) if found else -1


def _months(phrase: str) -> int:
    if phrase in ("无期徒刑", "死刑"):
        return LIFE if phrase == "无期徒刑" else DEATH
    found = _numbers(phrase)
    if len(found) == 2 and "年" in phrase and "月" in phrase:
        return 12 * found[0] + found[1]
    return found[0] * (12 if "年" in phrase and len(found) == 1 else 1) if found else 0


def _yuan(phrase: str) -> int:
    found = _numbers(phrase)
    return found[0] if len(found) == 1 else 0


def _numbers(phrase: str) -> list[int]:
    """Numbers as in the published scores: 13万2千 is two numbers, and a numeral of digits only (二六) is read by cn2an.
    So a change of our parsers changes no score."""
    found = []
    for match in scan(_NUMERAL, folded(phrase)):
        digits = match[0].rstrip("十百千万亿").strip()
        try:
            if digits[:1].isdigit() and digits.isascii():
                scale = math.prod(_SCALES[character] for character in match[0][len(digits) :].strip())
                found.append(int(Fraction(digits.replace(",", "")) * scale))
            else:
                numeral = _ALONE.get(match[0], match[0])
                found.append(int(Fraction(str(cn2an.cn2an(numeral, "smart")))))
        except (ArithmeticError, LookupError, TypeError, ValueError):  # raised by cn2an on some malformed numerals
            continue
    return found


def _cited(text: str) -> frozenset[int | tuple[int, int]]:
    passages = [match[0] for match in scan(_CRIMINAL_LAW, text)]
    written = [match[1] for passage in passages for match in scan(_ARTICLE, passage)]
    return frozenset(to_int(_UNITLESS.sub(r"\1", numeral)) for numeral in written)  # of 二六四 the last digit, as above


def _named(text: str) -> frozenset[str]:
    parts = _PARTS.split(text)
    parts = regex.split("[；。]", text) if len(parts) == 1 else parts
    kept = (part.split("撤销")[0].replace("罪犯", "") for part in parts)
    found = {_nearest(match[1]) for part in kept for match in scan(_CHARGE, part)}
    return frozenset(name for name in found if name)


def _nearest(written: str) -> str | None:
    """The known charge that a written name means: itself, the shortest that it abbreviates, or the closest."""
    name = regex.sub("（[^）]*）", "", written.replace(" ", "")).lstrip("有的了")
    if name in known_charges():
        return name
    longer = sorted((known for known in known_charges() if _abbreviates(name, known)), key=len)
    if longer and (len(name) > 3 or name in longer[0].split("、")):
        return longer[0]
    best = min(known_charges(), key=lambda known: Levenshtein.normalized_distance(name, known))
    return best if len(name) < 30 and Levenshtein.normalized_distance(name, best) < FAR else None


def _abbreviates(short: str, long: str) -> bool:
    characters = iter(long)
    return all(character in characters for character in short)
