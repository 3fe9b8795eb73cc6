"""Article numbers in Chinese numerals."""

import re
from functools import lru_cache

_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0, "○": 0}
_UNITS = {"十": 10, "百": 100, "千": 1000}
ARTICLE = re.compile(r"第\s*([0-9零〇○一二两三四五六七八九十百千]{1,12})\s*条(?:之([0-9一二三四五六七八九十]{1,3}))?")
"""An article number in running text, such as 第二百六十四条 or 第17条之一."""


@lru_cache(maxsize=4_096)  # more than laws have articles
def to_int(numeral: str) -> int:
    """The value of a numeral below ten thousand, Chinese or Arabic: ``二百六十四``, ``二六四`` and ``264`` are 264.

    Raises:
        ValueError: if it is not such a numeral.
    """
    if numeral.isdigit() and numeral.isascii():
        return int(numeral)
    if len(numeral) > 1 and all(character in _DIGITS for character in numeral):  # read out digit by digit
        return int("".join(str(_DIGITS[character]) for character in numeral))
    total, digit = 0, 0
    for character in numeral:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character in _UNITS:
            total += (digit or 1) * _UNITS[character]
            digit = 0
        else:
            raise ValueError(f"{numeral!r} is not a numeral")
    return total + digit


def article_key(number: str) -> tuple[int, int]:
    """(article, insertion) of an article number: 第十七条之一 is (17, 1), 第十七条 and 17 are (17, 0).

    Raises:
        ValueError: if no article number is found.
    """
    found = ARTICLE.search(number)
    if found:
        return to_int(found[1]), to_int(found[2]) if found[2] else 0
    return to_int(number.strip()), 0
