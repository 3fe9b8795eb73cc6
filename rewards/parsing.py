"""Answers out of completions: the answer block, choice letters, articles, charges, numbers with units.

Every pattern is linear in the length of the text and every input is cut to ``LONGEST`` characters, so hostile
completions cost no more than long ones.
"""

import re
import unicodedata
from fractions import Fraction

from curricula.numerals import ARTICLE, to_int

LONGEST = 20_000
"""Characters that are looked at, from the end of a completion backwards; an answer stands at its end."""

_NUMBER = re.compile(r"(\d+(?:\.\d+)?|[零〇一二两三四五六七八九十百千]+)\s*(个?月|年|万元|元|日|天|万|岁|倍|%)?")
_MONTHS = {"年": 12, "月": 1, "个月": 1}
_SCALE = {"万元": (10_000, "元"), "元": (1, "元"), "日": (1, "日"), "天": (1, "日"), "万": (10_000, "")}


def answer_of(completion: str) -> str | None:
    """Content of the last ``<answer>…</answer>`` of a completion; None if there is none."""
    text = completion[-LONGEST:]
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    return None if start < 0 else text[start + len("<answer>") : end].strip()


def normalised(text: str) -> str:
    """Text for exact comparison: NFKC, no white space, no punctuation at the ends, no 中华人民共和国."""
    folded = "".join(unicodedata.normalize("NFKC", text).split())
    return folded.strip(".,;:!?。，；：！？、《》\"'“”").replace("中华人民共和国", "")


def choice_letters(answer: str) -> frozenset[str] | None:
    """Letters of an option answer in any order and writing (AB, A、B, 选ＡＢ); None when it is anything else."""
    folded = unicodedata.normalize("NFKC", answer).upper()
    letters = re.sub(r"[\s、,，;；和及与.。:：()（）]|选项?|答案是?|应?为|正确", "", folded)
    if not letters or any(letter not in "ABCDEFGH" for letter in letters) or len(set(letters)) != len(letters):
        return None
    return frozenset(letters)


def articles(text: str) -> frozenset[tuple[int, int]]:
    """(article, insertion) of every article number: 第二百六十四条, 第264条, 264条, 第十七条之一."""
    folded = unicodedata.normalize("NFKC", text[-LONGEST:])
    found = {(to_int(m[1]), to_int(m[2]) if m[2] else 0) for m in ARTICLE.finditer(folded)}
    bare = ARTICLE.sub("，", folded)
    found |= {(int(number), 0) for number in re.findall(r"(?<!\d)(\d{1,4})条", bare)}
    return frozenset(found)


def charges(text: str) -> frozenset[str]:
    """Names of the charges in an answer, without 罪: 盗窃罪、诈骗罪 gives 盗窃 and 诈骗."""
    folded = unicodedata.normalize("NFKC", text[-LONGEST:])
    parts = re.split(r"[,，;；。\s]|和(?=[一-鿿]{2,12}罪)|、", folded)
    names = (
        part.strip("第条0123456789:：")
        for part in parts
        if not ARTICLE.search(part) and not re.fullmatch(r"\d+条?", part)
    )
    return frozenset(name.removesuffix("罪").removeprefix("犯").removeprefix("构成") for name in names if name)


def quantity(text: str) -> tuple[Fraction, str] | None:
    """Value and unit of an answer that is one quantity: years and months become months, 万元 becomes 元.

    ``1年6个月`` is (18, "月"), ``五万元`` is (50000, "元"), ``12`` is (12, ""). None when it is anything else.
    """
    folded = "".join(unicodedata.normalize("NFKC", text[:200]).replace(",", "").split()).strip("。.共为约")
    place, total, unit = 0, Fraction(0), None
    for match in _NUMBER.finditer(folded):
        if match.start() != place:
            return None
        place = match.end()
        digits, written = match[1], match[2] or ""
        value = Fraction(digits) if digits[0].isascii() else Fraction(to_int(digits))
        if written in _MONTHS:
            factor, this = _MONTHS[written], "月"
        else:
            factor, this = _SCALE.get(written, (1, written))
        if unit not in (None, this):
            return None
        total, unit = total + value * factor, this
    return None if unit is None or place != len(folded) else (total, unit)
