"""Numbers in Arabic and Chinese numerals, exactly."""

from fractions import Fraction
from functools import lru_cache

import regex

from rewards.parsing.text import plain, scan

_ARABIC = r"\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,8})?|\d{1,15}(?:\.\d{1,8})?"
_CHINESE = "零〇一二两三四五六七八九十百千万亿壹贰叁肆伍陆柒捌玖拾佰仟廿卅点"
_MORE = r"(?:零?\d{1,4}(?:\.\d{1,4})?[十百千万]{1,2}){0,4}(?:零?\d{1,4}(?=\s?[元圆块]|\s?[,。;]|$))?"
NUMBER = rf"(?>(?:{_ARABIC})(?:\s?[十百千万亿拾佰仟]{{1,2}}{_MORE})?|[{_CHINESE}]{{1,20}}|半)"
"""A number in plain text, as a pattern (264, 13万2千, 二百六十四, 壹万, 半); atomic, so that it is never tried at
several lengths."""

_NUMBER = regex.compile(NUMBER)
CAPITALS = str.maketrans("零两壹贰叁肆伍陆柒捌玖拾佰仟", "〇二一二三四五六七八九十百千")
_MARKS = str.maketrans("", "", ", ")
_DIGITS = str.maketrans("〇一二三四五六七八九", "0123456789")
_TOKEN = regex.compile(r"\d+(?:\.\d+)?|[〇一二三四五六七八九]+(?:点[〇一二三四五六七八九]+)?|[十百千万亿]|(?P<other>.)")
_SMALL = {"十": 10, "百": 100, "千": 1_000}
_LARGE = {"万": 10_000, "亿": 100_000_000}


@lru_cache(maxsize=10_000)
def value(numeral: str) -> Fraction:
    """The value of one numeral: 264, 50,000, 3.5万, 13万2千, 二百六十四, 二六四, 十五点八万, 壹拾万零叁仟, 三万五, 半.

    Raises:
        ValueError: if it is not a numeral.
    """
    written = numeral.translate(CAPITALS).translate(_MARKS).replace("廿", "二十").replace("卅", "三十")
    if written == "半":
        return Fraction(1, 2)
    if written.isascii() and written[:1].isdigit():
        return Fraction(written)
    total, section, number = Fraction(0), Fraction(0), None
    unit = last = 10**12  # the unit just read, and the last one within this group of four digits
    tokens = [match[0] for match in _TOKEN.finditer(written) if not match["other"]]
    if "".join(tokens) != written or not tokens:
        raise ValueError(f"{numeral!r} is not a numeral")
    for token in tokens:
        if token in _SMALL:
            unit = _SMALL[token]
            if unit >= last or (number is None and unit > 10 and len(tokens) > 1):
                raise ValueError(f"{numeral!r} is not a numeral")
            section, number, last = section + (1 if number is None else number) * unit, None, unit
        elif token in _LARGE:
            section += number or 0
            if not section + total:
                raise ValueError(f"{numeral!r} is not a numeral")
            unit = _LARGE[token]
            total = (total + section) * unit if token == "亿" else total + section * unit
            section, number, last = Fraction(0), None, unit
        else:
            number = Fraction(token.translate(_DIGITS).replace("点", "."))
    if number and unit in (100, 1_000, 10_000, 10**8) and len(tokens[-1]) == 1:  # 三万五 is 三万五千
        number *= unit // 10
    return total + section + (number or 0)


def numbers(text: str) -> list[Fraction]:
    """Every number of a text, in order; what only looks like one is left out."""
    found = []
    for match in scan(_NUMBER, plain(text)):
        try:
            found.append(value(match[0]))
        except ValueError:
            continue
    return found
