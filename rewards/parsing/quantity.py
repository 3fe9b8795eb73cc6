"""One quantity with its unit."""

from fractions import Fraction

import regex

from rewards.parsing.expressions import expression
from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.text import plain, scan

_PART = regex.compile(
    rf"(?P<number>{NUMBER})\s?(?P<unit>个?月|周?年|元|块|角|毛|分(?!之)|日|天|周岁|周|岁|倍|%|小时|人|条)?"
    r"(?P<half>半)?(?:零|又|整|正)?"
)
_SHARE = regex.compile(rf"(?P<whole>百|千|万|{NUMBER})分之(?P<part>{NUMBER})")
_TENTHS = regex.compile(rf"(?P<tenths>{NUMBER})成(?P<half>半)?")
_WHOLES = {"百": 100, "千": 1_000, "万": 10_000}
_CALCULATION = regex.compile(r"([^\p{Han}%]{3,60})(个?月|年|元|日|天|)")
_UNITS = {
    "年": (12, "月"), "周年": (12, "月"), "月": (1, "月"), "个月": (1, "月"), "天": (1, "日"), "块": (1, "元"),
    "角": (Fraction(1, 10), "元"), "毛": (Fraction(1, 10), "元"), "分": (Fraction(1, 100), "元"), "周岁": (1, "岁"),
}  # fmt: skip


def quantity(text: str) -> tuple[Fraction, str] | None:
    """Value and unit of an answer that is one quantity: years become months, 天 becomes 日, 万元 becomes 元.

    ``1年6个月`` and 一年半 are (18, "月"), ``五万元`` is (50000, "元"), 三元五角 is (3.5, "元"), ``12`` is (12, ""),
    ``(1+0.5)×12个月`` is (18, "月"), 万分之三 is (0.03, "%"), 三成 is (30, "%"),
    三分之一 is (1/3, ""). None when it is anything else.
    """
    written = "".join(plain(text[:200]).split()).strip("。.共为约")
    return _written(written) or _share(written) or _calculated(written)


def _written(written: str) -> tuple[Fraction, str] | None:
    place, total, unit = 0, Fraction(0), None
    for match in scan(_PART, written):
        if match.start() != place:
            return None
        place = match.end()
        factor, this = _UNITS.get(match["unit"] or "", (1, match["unit"] or ""))
        try:
            amount = value(match["number"])
        except ValueError:
            return None
        if (
            unit not in (None, this)
            or unit == ""
            or (match["half"] and not match["unit"])
            or (match["unit"] == "分" and not unit)
        ):
            return None
        total, unit = total + (amount + Fraction(bool(match["half"]), 2)) * factor, this
    return None if unit is None or place != len(written) else (total, unit)


def _share(written: str) -> tuple[Fraction, str] | None:
    match, tenths = _SHARE.fullmatch(written), _TENTHS.fullmatch(written)
    try:
        if tenths is not None:
            return value(tenths["tenths"]) * 10 + 5 * bool(tenths["half"]), "%"
        if match is None:
            return None
        part, whole = value(match["part"]), _WHOLES.get(match["whole"])
        return (part / value(match["whole"]), "") if whole is None else (100 * part / whole, "%")
    except (ValueError, ZeroDivisionError):
        return None


def _calculated(written: str) -> tuple[Fraction, str] | None:
    split = _CALCULATION.fullmatch(written)
    amount = expression(split[1]) if split else None
    if split is None or amount is None:
        return None
    factor, unit = _UNITS.get(split[2], (1, split[2]))
    return amount * factor, unit
