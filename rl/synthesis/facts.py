"""The facts of a legal text that a rewriting must keep: numbers, dates, citations, case numbers and names, each in one
writing, so that 一年六个月 is 18个月 and 五万元 is 50,000元."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import regex

from rewards.parsing import amounts, article_refs
from rewards.parsing.numbers import NUMBER, value
from rl.inference.structuring.judgment_text import aligned, blocks, steadily
from rl.synthesis.privacy.numbers import number_spans
from rl.synthesis.privacy.persons import people

_CASE_NUMBER = regex.compile(
    r"[(\[〔【]\s?(?:19|20)\d{2}\s?[)\]〕】]\s?[\p{Han}\d]{0,20}?第?\s?\d{1,7}\s?号"
    r"(?:之[一二三四五六七八九十\d]{1,3})?"
)
_LONG = regex.compile(r"(?<![\d.,])\d{8,}[Xx]?(?![\d.,]?\d|\s?[元万余])")
_ZEROS = str.maketrans("〇零一二三四五六七八九", "00123456789")
_SMALL = r"(?:\d{1,2}|[一二三四五六七八九十]{1,3}|元)"
_DATE = regex.compile(
    rf"(?:(?<!\d)(?P<year>\d{{4}}|[〇零一二三四五六七八九]{{4}})\s?年|(?P<same>同年|当年|次年))\s?(?:(?P<month>{_SMALL})\s?月(?:份)?\s?(?:(?P<day>{_SMALL})\s?日)?)?"
    rf"|(?<![\d个年零一二三四五六七八九十])(?P<month>{_SMALL})\s?月\s?(?P<day>{_SMALL})\s?日"
    r"|(?<!\d)(?P<year>(?:19|20)\d{2})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?!\d)"
)
_TITLE = regex.compile(r"《[^《》]{1,80}》")
_MARK = regex.compile(
    r"(?:(?<=^|[\n:;。,])\s{0,4}(?:\(?[一二三四五六七八九十\d]{1,3}\)|[一二三四五六七八九十]{1,3}、|\d{1,2}[.、](?!\d)))|第[一二三四五六七八九十\d]{1,3}[项款]"
)
"""Numbers of a list, and of its items."""
_DURATION = regex.compile(
    rf"(?=[\d一二两三四五六七八九十半])(?:(?P<years>{NUMBER})\s?年(?![度级代初底末内龄满月])(?P<half>半)?)?(?:零|又)?(?:(?P<months>{NUMBER})\s?(?:个\s?月|(?<=年.{{1,4}})月))?(?:(?P<days>{NUMBER})\s?[日天])?"
)
_UNITS: tuple[tuple[str, str, int], ...] = (
    ("公斤|千克|kg", "克", 1000), ("克|g", "克", 1), ("吨", "克", 1_000_000), ("斤", "克", 500),
    ("公里|千米|km", "米", 1000), ("米", "米", 1), ("%|％", "%", 1), ("周?岁", "岁", 1),
)  # fmt: skip
_UNIT = "|".join(unit for unit, _, _ in _UNITS)
_COUNTED = r"[名人次部辆起份件台张条把间套户层位家笔枚颗支瓶包棵头只块根双期处类项倍组]"
_NUMBER = regex.compile(rf"(?<![A-Za-z\d.])(?P<number>{NUMBER})\s?(?:(?P<unit>{_UNIT})|(?P<counted>{_COUNTED}))?")
_ANONYMOUS = regex.compile(r"\p{Han}某(?:某|[甲乙丙丁戊己庚辛]|\d{1,2})?")
_COMPANY = regex.compile(
    r"(?P<name>\p{Han}{2,12}(?:有限责任公司|有限公司|股份公司|集团|银行|支行|分公司|公司|委员会|事务所|医院|学校|大学))"
)
_COMMON = 10
"""Up to this number a count (三次, 两人) may be left out of a rewriting, and 一 is often no count at all."""


@dataclass(frozen=True)
class Facts:
    """What a text says."""

    numbers: frozenset[str]
    """Value and unit: 50000元, 18月, 30日, 1.8克, 12."""
    dates: frozenset[str]
    """2021-03-05, 2021-03 or 2021; 同年 is the year named before it."""
    citations: frozenset[str]
    """Law and article: 刑法第264条; only the article where no law is named."""
    case_numbers: frozenset[str]
    names: frozenset[str]
    """Persons, judges and others of the court, parties that are companies, and names that are anonymised."""


@lru_cache(maxsize=64)  # one source is compared with several rewritings
def facts(text: str) -> Facts:
    """The facts of a text. Linear in its length."""
    plain = aligned(text)
    names = people(plain)
    companies = {match["name"] for match in _COMPANY.finditer(plain)} & set(names.organisations)
    found_names = {*names.persons, *names.officials, *companies, *names.organisations}
    found_names |= {match[0] for match in _ANONYMOUS.finditer(plain)}
    cases = {"".join(match[0].split()) for match in _CASE_NUMBER.finditer(plain)}
    rest = _CASE_NUMBER.sub(_blank, plain)
    numbers = {span.value for span in number_spans(rest, credit_codes=True) if span.kind != "plate"}
    rest = _without(rest, [(span.start, span.end) for span in number_spans(rest, credit_codes=True)])
    numbers |= {match[0] for match in _LONG.finditer(rest)}
    rest = _LONG.sub(_blank, rest)
    citations, rest = _citations(rest)
    rest = _MARK.sub(_blank, _TITLE.sub(_blank, rest))
    dates, rest = _dates(rest)
    sums, rest = _money(rest)
    numbers |= sums | _durations(rest)
    rest = _DURATION.sub(lambda match: _blank(match) if _long(match) else match[0], rest)
    numbers |= set(filter(None, map(_number, _NUMBER.finditer(rest))))
    return Facts(*map(frozenset, (numbers, dates, citations, cases, found_names)))


def minor(number: str) -> bool:
    """Whether a number is a small count, which a rewriting may leave out."""
    return number.isdigit() and int(number) <= _COMMON


def _blank(match: regex.Match[str]) -> str:
    return " " * len(match[0])


def _without(text: str, places: Iterable[tuple[int, int]]) -> str:
    """The text with these places blanked out."""
    pieces = list(text)
    for start, end in places:
        pieces[start:end] = " " * (end - start)
    return "".join(pieces)


def _citations(text: str) -> tuple[set[str], str]:
    """Citations, and the text without their numbers."""
    found: set[str] = set()
    places: list[tuple[int, int]] = []
    for begin, piece in blocks(text, 0, len(text)):
        for ref in steadily(article_refs, piece) or []:
            found.add(str(ref))
            places.append((begin + ref.start, begin + ref.end))
    return found, _without(text, places)


def _dates(text: str) -> tuple[set[str], str]:
    found: set[str] = set()
    year = 0

    def read(match: regex.Match[str]) -> str:
        nonlocal year
        if match["year"]:
            year = int(match["year"].translate(_ZEROS))
        elif match["same"] == "次年":
            year += 1
        if not year:
            return str(match[0])
        day = [f"{int(_small(match[name])):02}" for name in ("month", "day") if match[name]]
        found.add("-".join([str(year), *day]))
        return _blank(match)

    return found, _DATE.sub(read, text)


def _small(written: str) -> Fraction:
    return Fraction(1) if written == "元" else _value(written)


def _value(written: str) -> Fraction:
    try:
        return value(written)
    except ValueError:
        return Fraction(0)


def _shown(amount: Fraction) -> str:
    return str(amount.numerator) if amount.denominator == 1 else f"{float(amount):.6g}"


def _money(text: str) -> tuple[set[str], str]:
    found = [
        (amount.yuan, begin + amount.start, begin + amount.end)
        for begin, piece in blocks(text, 0, len(text))
        for amount in steadily(amounts, piece) or []
    ]
    return {f"{_shown(yuan)}元" for yuan, _, _ in found}, _without(text, [(start, end) for _, start, end in found])


def _long(match: regex.Match[str]) -> bool:
    return any(match[name] for name in ("years", "months", "days"))


def _durations(text: str) -> set[str]:
    found: set[str] = set()
    for match in _DURATION.finditer(text):
        if not _long(match):
            continue
        years, months, days = (
            _value(match[name]) if match[name] else Fraction(0) for name in ("years", "months", "days")
        )
        total = years * 12 + (6 if match["half"] else 0) + months
        found |= {f"{_shown(total)}月"} if total else set()
        found |= {f"{_shown(days)}日"} if days else set()
    return found


def _number(match: regex.Match[str]) -> str | None:
    """Value and unit; None for what is more often a part of a word (一审, 十分) or an article (一名)."""
    written = match["number"]
    amount = _value(written)
    unit = match["unit"]
    arabic = any(one.isdigit() and one.isascii() for one in written)
    if not amount or (not arabic and len(written) == 1 and not unit and not match["counted"]):
        return None
    if amount == 1 and not unit:
        return None
    for pattern, name, scale in _UNITS:
        if unit and regex.fullmatch(pattern, unit):
            return f"{_shown(amount * scale)}{name}"
    return _shown(amount)
