"""Sums of money in yuan."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import regex

from rewards.parsing.numbers import NUMBER, value
from rewards.parsing.text import folded, scan

_SCALES = {"": 1, "百": 100, "千": 1_000, "万": 10_000, "百万": 1_000_000, "千万": 10_000_000, "亿": 100_000_000}
_AMOUNT = regex.compile(
    rf"(?:(?P<about>约|近|大约)\s?)?(?:(?P<sign>[¥￥]|人民币|罚[金款][为是:]?)\s?)?(?P<number>{NUMBER})\s?(?P<more>余|多)?"
    rf"(?P<scale>百万|千万|百|千|万|亿)?\s?(?P<more2>余|多)?\s?(?P<unit>元|块钱|圆|yuan)?"
)
_FINE = regex.compile(r"(?:罚金|罚款)(?:人民币|数额|金额|约|近)?[为是:]?(?:人民币)?\s?$")


@dataclass(frozen=True)
class Amount:
    """A sum of money."""

    yuan: Fraction
    about: bool
    """Whether the text says more or less (5万余元, 约三千元)."""
    start: int
    """Where it stands in the folded text."""


def amounts(text: str) -> list[Amount]:
    """Every sum of money, in order: 五万元, 50,000元, 5万余元, ¥3000, 人民币叁仟元整. A bare number is none."""
    found = []
    for match in scan(_AMOUNT, folded(text)):
        if not (match["unit"] or match["sign"]):
            continue
        try:
            yuan = value(match["number"]) * _SCALES[match["scale"] or ""]
        except ValueError:
            continue
        about = any(match[name] for name in ("about", "more", "more2"))
        found.append(Amount(yuan, bool(about), match.start("number")))
    return found


def fine(text: str) -> Amount | None:
    """The fine that a text imposes: the sum after 罚金 or 罚款, else the only sum there is. None when there is none."""
    plain = folded(text)
    found = amounts(text)
    after = [amount for amount in found if _FINE.search(plain[max(0, amount.start - 12) : amount.start])]
    return after[0] if after else found[0] if len(found) == 1 else None
