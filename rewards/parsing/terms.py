"""Terms of imprisonment in months."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import regex

from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.text import plain, scan

Kind = Literal["fixed", "detention", "surveillance", "life", "death", "exempt"]

LONGEST_SENTENCE = 4_000
"""Characters that are searched for a sentence, from the end."""
JOINED = 4
"""Rank of the punishment for several crimes together."""
MOST = 200
"""Durations that are looked at, from the end."""
LONGEST_TERM = 1_200
"""Months; what is longer is a year of the calendar or no term."""

_KINDS: dict[str, Kind] = {"有期徒刑": "fixed", "徒刑": "fixed", "拘役": "detention", "管制": "surveillance"}
_NAMED = "有期徒刑|徒刑|拘役|管制"
_DURATION = (
    rf"(?:(?P<years>{NUMBER})\s?(?:年|years?)(?P<half>半)?\s?(?:零|又|,|and)?\s?)?"
    rf"(?:(?P<months>{NUMBER})\s?(?:个\s?月|月|months?))?(?:(?:零|又)?(?P<days>{NUMBER})\s?[日天])?"
)
_UNIT_AHEAD = rf"(?=零?{NUMBER}\s?(?:年|个?\s?月|[日天]|year|month))"
"""Without a unit there is no duration: most numbers of a text are given up here, before all else is tried."""
_TO = r"(?:至|到|[-~—–])"
_TERM = regex.compile(
    rf"(?P<probation>缓刑,?(?:的?考验期(?:间|限)?)?)?(?P<other>剥夺政治权利|羁押|已服刑|缓期|减去|减刑|余刑|刑满)?"
    rf"(?P<kind>{_NAMED}|刑期)?\s?(?:的?刑期)?[为是:]?\s?(?=[\d零〇一二两三四五六七八九十半廿壹贰叁肆伍陆柒捌玖拾])"
    rf"{_UNIT_AHEAD}{_DURATION}"
    rf"(?P<range>\s?(?:以上|以下|以内|之间|不等|{_TO}(?=\s?(?:{_NAMED})?\s?{NUMBER})|[和与](?=.{{1,8}}之间)))?(?:的?(?P<after>{_NAMED}))?"
    rf"(?P<range>\s?(?:以上|以下|之间|{_TO}(?=\s?{NUMBER})))?"
)
_SHORT = regex.compile(
    r"判(?:处|了)?([一二三四五六七八九十]|1?\d)年?缓(?:刑)?([一二三四五六七八九十]|1?\d)(?!个?月|\d)年?"
)
"""How lawyers say it: 判三缓四."""
_LIFE = regex.compile(r"无期(?:徒刑|$)|life imprisonment")
_DEATH = regex.compile(r"死刑(?:[，,]?\s?(?:并)?(?P<reprieve>缓期))?|(?P<reprieve>死缓)")
_EXEMPT = regex.compile(r"(?:免予|免于|免除)刑事处[罚分]|免除处罚|免除刑罚|免刑")
_OTHERS: tuple[tuple[tuple[str, ...], regex.Pattern[str], Kind], ...] = (
    (("无期", "life"), _LIFE, "life"),
    (("死",), _DEATH, "death"),
    (("免",), _EXEMPT, "exempt"),
)
"""(what a text must hold for it, pattern, kind) of the sentences without a length."""
_NOT = regex.compile(r"(?:不|未|非|免)\S{0,4}$")
_RECITED = regex.compile(r"(?:可以?|应当?|或者?|、|得)(?:依法|从轻|减轻|处罚|或者?|、){0,4}$")
_ALTERNATIVE = regex.compile(r"\s?(?:或|、(?!剥夺|并处|没收))")
_RANGE_BEFORE = regex.compile(rf"(?<![十百千])(?:{NUMBER})\s?(?:个?月|年)?(?:{_NAMED})?\s?{_TO}\s?$")
_NO_TERM = regex.compile(
    r"(?:最高(?:刑|刑罚|法定刑|刑期)?|最低(?:刑|刑罚|刑期)?|最多|最长|法定刑|量刑幅度|量刑起点|起刑点?|不超过|不低于|不少于|至少|至多|可处|可判|可以判|曾|前科|此前)"
    r"[^。;,]{0,24}$|(?:时隔|相隔|历时|长达|持续|为期|已满|年满|不满|不足|超过|低于|高于)$|年[^。;,]{0,6}因[^。;,]{0,12}被判处?(?:处)?$"
)
_SERVED = regex.compile(r"[^。;]{0,14}(?:刑满|释放|执行完毕)")
_PROPOSED = regex.compile(r"(?:建议|请求|主张|要求|求刑|原判|原审|一审|前罪|基准刑|拟|宣告刑幅度)[^。;,]{0,24}$")
_JOINED = regex.compile(r"(?:决定|合并|并罚|最终|应)[,\s]?(?:决定|合并|应当?|共)?执行(?:的?刑期)?[为是:]?\s?$")
_SUM = regex.compile(r"(?:(?<!(?:共|公)犯)共|合计|总计|总共|共计|总和|=|等于)(?:计|判处|执行|刑期)?(?:[为是:])?\s?$")
_FINALLY = regex.compile(
    r"(?:综上|最终|最后|综合|改判|本院)[^。;]{0,20}$|(?:减轻|从轻|从宽|下调|调整|降低?)(?:处罚|判处)?[为至到]?\s?$"
)


@dataclass(frozen=True)
class Term:
    """A sentence of imprisonment."""

    kind: Kind
    months: Fraction | None
    """Length in months (30 days a month); None for life, death and exemption."""
    suspended: Fraction | None = None
    """Months of probation (缓刑), or 24 for a death sentence with reprieve (死缓)."""


@dataclass(frozen=True)
class _Found:
    """A sentence in its place."""

    rank: int
    start: int
    end: int
    term: Term


def term(text: str) -> Term | None:
    """The sentence that a text passes: 一年六个月, 拘役三个月, 有期徒刑三年，缓刑四年, 判三缓四, 无期徒刑, 死刑,
    15 years.

    Where several are named, the joined punishment counts (决定执行, 合并执行), then a sum (8年加3年，共11年), then what
    is passed last of all (综上, 改判), else the first; what is only proposed, or was passed before (建议, 原判), counts
    where nothing else is named. Ranges and limits of a statute (三年以下, 6至12个月, 最高五年), earlier convictions,
    probation and deprivation of rights are not the sentence. None when there is none.
    """
    written = _SHORT.sub(r"判处有期徒刑\1年,缓刑\2年", plain(text)[-LONGEST_SENTENCE:])
    spans = [match for match in scan(_TERM, written) if match["years"] or match["months"] or match["days"]][-MOST:]
    found = _durations(written, spans)
    for signs, pattern, kind in _OTHERS:
        for match in scan(pattern, written) if any(sign in written for sign in signs) else ():
            before = written[max(0, match.start() - 40) : match.start()]
            if kind == "exempt":
                recited = _RECITED.search(before) or written[match.end() : match.end() + 1] == "的"
            else:
                recited = before.endswith(("或", "者", "、")) or _ALTERNATIVE.match(written, match.end())
                recited = recited or _NOT.search(before)
            rank = _rank(before)
            if recited or rank is None:
                continue
            reprieve = Fraction(24) if kind == "death" and match["reprieve"] else None
            found.append(_Found(rank, match.start(), match.end(), Term(kind, None, reprieve)))
    if not found:
        return None
    best = min(found, key=lambda one: (-one.rank, one.start))
    return _with_probation(best, spans) if best.term.months is not None else best.term


def _durations(written: str, spans: list[regex.Match[str]]) -> list[_Found]:
    found = []
    for place, match in enumerate(spans):
        before = written[max(0, match.start() - 40) : match.start()]
        in_range = match["range"] or (place and _joined(spans[place - 1], match)) or _RANGE_BEFORE.search(before)
        if in_range or match["other"] or match["probation"] or _dated(written, match):
            continue
        named, months, rank = match["kind"] or match["after"], _months(match), _rank(before)
        served = _SERVED.match(written, match.end()) and not _JOINED.search(before)
        alone = match["days"] and named in (None, "刑期") and not (match["years"] or match["months"])
        if months is None or months > LONGEST_TERM or alone or served or rank is None:
            continue
        found.append(_Found(rank, match.start(), match.end(), Term(_KINDS.get(named or "", "fixed"), months)))
    return found


def _rank(before: str) -> int | None:
    """How likely a sentence is the one passed, by the words before it (higher: likelier); None if it is none."""
    if _JOINED.search(before):
        return JOINED
    if _NO_TERM.search(before):
        return None
    if _SUM.search(before):
        return 3
    if _PROPOSED.search(before):
        return 0
    return 2 if _FINALLY.search(before) else 1


def _with_probation(found: _Found, spans: list[regex.Match[str]]) -> Term:
    """The sentence with the probation that is named next, else with the first that is named."""
    probation = [match for match in spans if match["probation"]]
    before = probation[0] if probation and found.rank < JOINED else None
    chosen = next((match for match in probation if match.start() >= found.end), before)
    return Term(found.term.kind, found.term.months, None if chosen is None else _months(chosen))


def _months(match: regex.Match[str]) -> Fraction | None:
    try:
        years = value(match["years"]) if match["years"] else Fraction(0)
        months = value(match["months"]) if match["months"] else Fraction(0)
        days = value(match["days"]) if match["days"] else Fraction(0)
    except ValueError:
        return None
    return 12 * years + (6 if match["half"] else 0) + months + days / 30


def _joined(before: regex.Match[str], match: regex.Match[str]) -> bool:
    """Whether a duration is the upper end of a range (三年以上七年以下, 三年至七年)."""
    return bool(before["range"]) and before.end() == match.start() and not match["probation"]


def _dated(text: str, match: regex.Match[str]) -> bool:
    """Whether what looks like a duration is a date (2021年3月5日) or an age of something (三年前)."""
    if text[match.end() : match.end() + 1] in ("前", "后", "间", "内"):
        return True
    year = match["years"]
    return bool(year) and year.isdigit() and len(year) == 4
