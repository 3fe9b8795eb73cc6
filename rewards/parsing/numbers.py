"""Numbers in Arabic and Chinese numerals, exactly."""

from fractions import Fraction
from functools import lru_cache

import cn2an
import regex

from rewards.parsing.text import folded, scan

_ARABIC = r"\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,8})?|\d{1,15}(?:\.\d{1,8})?"
_CHINESE = "零〇一二两三四五六七八九十百千万亿壹贰叁肆伍陆柒捌玖拾佰仟廿点"
NUMBER = rf"(?>(?:{_ARABIC})\s?[十百千万亿]{{0,2}}|[{_CHINESE}]{{1,20}}|半)"
"""A number in folded text, as a pattern; atomic, so that it is never tried at several lengths."""

_NUMBER = regex.compile(NUMBER)
_SCALES = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "亿": 100_000_000}


@lru_cache(maxsize=10_000)
def value(numeral: str) -> Fraction:
    """The value of one numeral: 264, 50,000, 3.5万, 二百六十四, 一亿二千万, 伍万, 半.

    Raises:
        ValueError: if it is not a numeral.
    """
    plain = numeral.replace(",", "").replace(" ", "")
    if plain == "半":
        return Fraction(1, 2)
    digits = plain.rstrip("十百千万亿")
    if digits.isascii() and digits:
        scale = 1
        for character in plain[len(digits) :]:
            scale *= _SCALES[character]
        return Fraction(digits) * scale
    if plain == "百" or plain == "千":
        plain = "一" + plain
    try:
        return Fraction(str(cn2an.cn2an(plain, "smart")))
    except (ArithmeticError, LookupError, TypeError) as error:  # what cn2an raises on some malformed numerals
        raise ValueError(f"{numeral!r} is not a numeral") from error


def numbers(text: str) -> list[Fraction]:
    """Every number of a text, in order; what looks like one and is none is left out."""
    found = []
    for match in scan(_NUMBER, folded(text)):
        try:
            found.append(value(match[0]))
        except ValueError:
            continue
    return found
