"""Dates and limitation periods."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from fractions import Fraction

import regex

from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.quantity import quantity
from rewards.parsing.text import folded, scan

_DIGITS = str.maketrans("零〇一二三四五六七八九", "00123456789")
_DATE = regex.compile(
    r"(?<!\d)(?P<year>\d{4}|[零〇一二三四五六七八九]{4})\s?[年/.\-]\s?"
    rf"(?P<month>{NUMBER})\s?[月/.\-]\s?(?P<day>{NUMBER})(?!\d)"
)
_LENGTH = rf"{NUMBER}\s?(?:个月|年|日|天)"
_LIMITATION = regex.compile(
    rf"(?P<after>{_LENGTH})\s?的?(?:诉讼|仲裁|追诉|普通)?时效"
    rf"|(?:时效|除斥期间|申请期限)(?:期间|期限)?(?:应当)?[为是:]?\s?(?P<before>{_LENGTH})"
)


def dates(text: str) -> list[date]:
    """Every calendar date, in order: 2021年3月5日, 二〇二一年三月五日, 2021-03-05. Impossible ones are left out."""
    found = []
    for match in scan(_DATE, folded(text)):
        try:
            year = int(match["year"].translate(_DIGITS))
            found.append(date(year, int(value(match["month"])), int(value(match["day"]))))
        except (ValueError, OverflowError):
            continue
    return found


def limitation_period(text: str) -> tuple[Fraction, str] | None:
    """Length of the limitation period that a text names, in months or days: 诉讼时效期间为三年 is (36, "月").

    None when it names none or two different ones.
    """
    lengths = {quantity(match["after"] or match["before"]) for match in scan(_LIMITATION, folded(text))}
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
