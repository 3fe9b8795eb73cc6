"""One quantity with its unit."""

from fractions import Fraction

import regex

from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.text import folded, scan

_PART = regex.compile(
    rf"(?P<number>{NUMBER})\s?(?P<unit>个?月|周?年|元|块|日|天|周|岁|倍|%|小时|人|条)?(?P<half>半)?(?:零|又|整)?"
)
_UNITS = {"年": (12, "月"), "周年": (12, "月"), "月": (1, "月"), "个月": (1, "月"), "天": (1, "日"), "块": (1, "元")}


def quantity(text: str) -> tuple[Fraction, str] | None:
    """Value and unit of an answer that is one quantity: years become months, 天 becomes 日, 万元 becomes 元.

    ``1年6个月`` and 一年半 are (18, "月"), ``五万元`` is (50000, "元"), ``12`` is (12, ""). None when it is
    anything else.
    """
    plain = "".join(folded(text[:200]).split()).strip("。.共为约")
    place, total, unit = 0, Fraction(0), None
    for match in scan(_PART, plain):
        if match.start() != place:
            return None
        place = match.end()
        factor, this = _UNITS.get(match["unit"] or "", (1, match["unit"] or ""))
        try:
            amount = value(match["number"])
        except ValueError:
            return None
        if unit not in (None, this) or (match["half"] and not match["unit"]):
            return None
        total, unit = total + (amount + Fraction(bool(match["half"]), 2)) * factor, this
    return None if unit is None or place != len(plain) else (total, unit)
