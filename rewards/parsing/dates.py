"""Calendar dates, limitation periods, and when they end."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from fractions import Fraction

import regex

from rewards.parsing.numbers import CAPITALS, NUMBER, value
from rewards.parsing.quantity import quantity
from rewards.parsing.text import plain, scan

_ZEROS = "〇零0OoΟοОо"
"""What stands for 〇 in a year written out: the letters o of three alphabets look like it."""
_DIGITS = str.maketrans(_ZEROS + "一二三四五六七八九", "0" * len(_ZEROS) + "123456789")
_SPACE = r"\s{0,12}+"
_SMALL = r"(?:\d{1,2}|[零〇一二三四五六七八九十廿卅](?:\s?[零〇一二三四五六七八九十]){0,2}+)"
_DATE = regex.compile(
    rf"(?<![\d.])(?P<year>\d{{4}}|[{_ZEROS}一二三四五六七八九](?:\s?[{_ZEROS}一二三四五六七八九]){{3}}){_SPACE}[年/.\-—–]{_SPACE}"
    rf"(?P<month>{_SMALL}|元){_SPACE}[月/.\-—–]{_SPACE}(?P<day>{_SMALL})(?!\.?\d)"
)
_COMPACT = regex.compile(
    r"(?<![A-Za-z\d._\-/第号初终刑民])((?:19|20)\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?![\d.A-Za-z号])"
)
"""Eight digits: 20210305."""
_FURTHER = regex.compile(
    rf"\s?日?\s?(?:至|到|和|及|[-~—–、])\s?(?:(?P<month>{_SMALL})\s?月\s?)?(?P<day>{_SMALL})"
    rf"\s?(?:日|(?=(?:[、和及]\s?{_SMALL}){{1,9}}\s?日))"
)
"""A day after a date that names no year: 2021年3月5日至4月8日, 2021年3月5、6日."""
_LENGTH = rf"{NUMBER}\s?(?:个月|月|年|日|天)"
_PERIOD = r"(?:(?:诉讼|仲裁|追诉|普通|最长|特殊|短期){0,2}(?:的)?时效|除斥期间|申请期限)"
_OTHERWISE = regex.compile(
    rf"(?:不是|并非|不再是|由|从)\s?{_LENGTH}(?=[,\s]{{0,2}}(?:而是|改为|变更为|延长|调整|修改))"
)
_LIMITATION = regex.compile(
    rf"(?P<after>{_LENGTH})\s?的?{_PERIOD}"
    rf"|{_PERIOD}(?:期间|期限)?[,\s]{{0,2}}(?:应当?|而是|改为|变更为|延长[为至到]|调整为|修改为|一般|通常|适用){{0,2}}[为是:]?"
    rf"\s?(?P<before>{_LENGTH})(?:(?:或者?|至|到)\s?(?P<other>{_LENGTH}))?"
)


def dates(text: str) -> list[date]:
    """Every calendar date, in order: 2021年3月5日, 二〇二一年三月五日, 二O二一年元月5日, 2021-03-05, 2021.3.5,
    20210305, and days after one that name no year (2021年3月5日至4月8日, 2021年3月5、6日).
    Impossible ones are left out."""
    written, found = _COMPACT.sub(r"\1年\2月\3日", plain(text).translate(CAPITALS)), []
    for match in scan(_DATE, written):
        try:
            year, month, day = ("".join(match[name].split()) for name in ("year", "month", "day"))
            number = 1 if month == "元" else int(value(month))
            found.append(date(int(year.translate(_DIGITS)), number, int(value(day))))
            end = match.end()
            while more := _FURTHER.match(written, end, end + 40):
                number = int(value("".join(more["month"].split()))) if more["month"] else number
                found.append(date(found[-1].year, number, int(value("".join(more["day"].split())))))
                end = more.end()
        except (ValueError, OverflowError):
            continue
    return found


def limitation_period(text: str) -> tuple[Fraction, str] | None:
    """Length of the limitation period that a text names, in months or days: 诉讼时效期间为三年 is (36, "月").

    None when it names none or two different ones.
    """
    written = plain(text)
    if not any(word in written for word in ("时效", "除斥期间", "申请期限")):
        return None
    matches = scan(_LIMITATION, _OTHERWISE.sub("", written))
    written_lengths = {match[name] for match in matches for name in ("after", "before", "other") if match[name]}
    lengths = {quantity(length) for length in written_lengths}
    return lengths.pop() if len(lengths) == 1 else None


def deadline(start: date, length: tuple[Fraction, str]) -> date:
    """Last day of a period that begins on the day after ``start`` (Civil Code, articles 201 and 202): months end on the
    same day of the month, or on its last day where there is no such day.

    Raises:
        ValueError: if the length is not a whole number of months or days, or the day lies beyond the calendar.
    """
    amount, unit = length
    if unit not in ("月", "日") or amount.denominator != 1 or amount < 0:
        raise ValueError(f"{amount}{unit} is not a whole number of months or days")
    years, month = divmod(start.month - 1 + int(amount), 12)
    year = start.year + years
    try:
        if unit == "日":
            return start + timedelta(days=int(amount))
        return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))
    except (OverflowError, ValueError):
        raise ValueError(f"{amount}{unit} after {start} lies beyond the calendar") from None
