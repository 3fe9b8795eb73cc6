"""Terms of imprisonment in months."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import regex

from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.text import folded, scan

Kind = Literal["fixed", "detention", "surveillance", "life", "death", "exempt"]

LONGEST_SENTENCE = 4_000
"""Characters that are searched for a sentence, from the end."""

_KINDS: dict[str, Kind] = {"有期徒刑": "fixed", "拘役": "detention", "管制": "surveillance", "刑期": "fixed"}
_DURATION = (
    rf"(?:(?P<years>{NUMBER})\s?(?:年|years?)(?P<half>半)?(?:零|又|,)?\s?)?"
    rf"(?:(?P<months>{NUMBER})\s?(?:个月|月|months?))?(?:(?:零|又)?(?P<days>{NUMBER})\s?[日天])?"
)
_TERM = regex.compile(
    rf"(?P<prefix>决定执行|缓刑(?:考验期(?:限)?)?|剥夺政治权利|羁押|已服刑|缓期|减去|减刑)?"
    rf"(?P<kind>有期徒刑|拘役|管制|刑期)?\s?(?:的?刑期)?[为是:]?\s?(?=[\d零〇一二两三四五六七八九十半廿壹贰叁肆伍陆柒捌玖拾]){_DURATION}"
    rf"(?P<range>以上|以下|至|到|-|~)?(?:的?(?P<after>有期徒刑|拘役|管制))?"
)
_LIFE = regex.compile(r"无期(?:徒刑|$)")
_DEATH = regex.compile(r"死刑(?:[，,]?\s?(?P<reprieve>缓期))?|(?P<reprieve>死缓)")
_EXEMPT = regex.compile(r"免予刑事处罚|免除处罚|免于刑事处罚")
_NOT = regex.compile(r"(?:不|未|非|免)\S{0,4}$")


@dataclass(frozen=True)
class Term:
    """A sentence of imprisonment."""

    kind: Kind
    months: Fraction | None
    """Length in months (30 days a month); None for life, death and exemption."""
    suspended: Fraction | None = None
    """Months of probation (缓刑), or 24 for a death sentence with reprieve (死缓)."""


def term(text: str) -> Term | None:
    """The sentence that a text passes: 一年六个月, 拘役三个月, 有期徒刑三年，缓刑四年, 无期徒刑, 死刑, 15 years.

    Where several are named, that of 决定执行 counts (joined punishment), else the first. Ranges of a statute
    (三年以下), probation and deprivation of rights are not the sentence. None when there is none.
    """
    plain = folded(text)[-LONGEST_SENTENCE:]
    spans = [match for match in scan(_TERM, plain) if match["years"] or match["months"] or match["days"]]
    probation = next((_months(m) for m in spans if (m["prefix"] or "").startswith("缓刑")), None)
    found: list[tuple[bool, int, Term]] = []
    for place, match in enumerate(spans):
        in_range = match["range"] or (place and _joined(spans[place - 1], match))
        if in_range or match["prefix"] not in (None, "决定执行") or _dated(plain, match):
            continue
        named = match["kind"] or match["after"]
        months = _months(match)
        if months is not None and not (match["days"] and named is None and not (match["years"] or match["months"])):
            kind = _KINDS.get(named or "", "fixed")
            found.append((match["prefix"] == "决定执行", match.start(), Term(kind, months, probation)))
    for pattern, kind in ((_LIFE, "life"), (_DEATH, "death"), (_EXEMPT, "exempt")):
        for match in scan(pattern, plain):
            before = plain[max(0, match.start() - 6) : match.start()]
            statute = plain[max(0, match.start() - 1) : match.start()] in ("或", "者", "、")
            if statute or (kind != "exempt" and _NOT.search(before)):
                continue
            reprieve = Fraction(24) if kind == "death" and match["reprieve"] else None
            found.append(("决定执行" in before, match.start(), Term(kind, None, reprieve)))
    return min(found, key=lambda item: (not item[0], item[1]))[2] if found else None


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
    return bool(before["range"]) and before.end() == match.start() and not match["prefix"]


def _dated(text: str, match: regex.Match[str]) -> bool:
    """Whether what looks like a duration is a date (2021年3月5日) or an age of something (三年前)."""
    if text[match.end() : match.end() + 1] in ("前", "后", "间", "内"):
        return True
    year = match["years"]
    return bool(year) and year.isdigit() and len(year) == 4
