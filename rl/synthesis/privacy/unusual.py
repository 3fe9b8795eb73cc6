"""Names straight behind a role that no surname or frequency gives away: words of the language, rare characters, foreign
names written in Chinese without dots, and a name whose surname ends a line."""

from __future__ import annotations

import math
from collections.abc import Iterator

import regex

from rl.synthesis.privacy.names import ANONYMISED, COMPOUND, SURNAMES, find_names, likelihood

_PARTY = r"(?:被告人?|原告人?|被害人|受害人|证人|上诉人|被上诉人|第三人|申请人|被申请人|罪犯|犯罪嫌疑人|同案犯|死者)"
_AFTER_PARTY = regex.compile(rf"{_PARTY}(?:\([^()\n]{{1,40}}\))?[: ]{{0,4}}$")
_BEGINS_PARTY = regex.compile(_PARTY)
_WORDS = frozenset(
    regex.findall(
        "..",
        "高峰高山高原高洁高远黄河黄山江山江河江南江海白雪白云白杨金星金山林海雷雨雷电安康安宁康乐华山夏雨夏冰秋月"
        "凤凰陶醉石林田野田园钟声常青温馨温暖梁山汪洋连云成龙",
    )
)
"""Words that are also names, and that are never said of a party."""
_NO_PARTY = regex.compile(r"[路街道镇乡村市县区省流公物商]|时段|期间|有限")
"""Behind such a word, when it is a place or a firm."""
_SOUNDS = (
    "阿艾买提吐依尔古玛麦木穆努热帕库迪赛不都合曼卜杜拉力江丽娜孜尼亚沙逊斯卡克山布巴甫什迈罕汗肉萨里比喀德勒夏伊拜坦瓦加苏"
    "达塔肯约吾别孙"
)
_WRITTEN_BY_SOUND = regex.compile(
    rf"[阿艾买吐依古玛麦木穆努热帕库迪赛][{_SOUNDS}]{{2,9}}[提尔玛木江丽娜孜尼亚沙逊斯克山布甫什罕汗曼力拉热古麦]"
    r"(?<!提(?=[供出起交议示审]))(?![·•・‧∙．])"
)
_SOUND = regex.compile(f"[{_SOUNDS}]{{3,}}")
_BROKEN = regex.compile(
    rf"(?P<surname>{COMPOUND}|\p{{Han}}) {{0,2}}\n {{0,4}}(?P<rest>\p{{Han}}{{1,8}})(?P<mark>[、.]?)"
)
_LETTERS = 8
"""Characters behind a name that are weighed to find its end."""


def is_rare(character: str) -> bool:
    """Whether it is an ideograph outside the block of the usual ones."""
    return "\u3400" <= character <= "\u4dbf" or "\U00020000" <= character <= "\U000323af"


def is_written_by_sound(part: str) -> bool:
    """Whether a part of a foreign name is made of the characters that such names are written with."""
    return bool(_SOUND.fullmatch(part))


def unusual_names(text: str, places: set[int]) -> Iterator[str]:
    """Such names in an aligned text. ``places``: ends of roles."""
    for place in places:
        if is_rare(text[place : place + 1]) and (name := _rare(text, place)):
            yield name
        if not _AFTER_PARTY.search(text, max(0, place - 60), place):
            continue
        if text[place : place + 2] in _WORDS and not _NO_PARTY.match(text, place + 2):
            yield text[place : place + 2]
        elif match := _WRITTEN_BY_SOUND.match(text, place):
            yield match[0]
        elif name := _broken(text, place):
            yield name


def _rare(text: str, place: int) -> str | None:
    """A name that begins with a rare character, of two or three: the one that leaves the likelier rest."""
    run = regex.compile(rf"\p{{Han}}{{2,{3 + _LETTERS}}}").match(text, place)
    if not run:
        return None
    sizes = range(2, min(3, len(run[0])) + 1)
    name = run[0][: max(sizes, key=lambda size: -5.0 * size + likelihood(run[0][size:]))]
    return None if ANONYMISED.search(name) else name


def _broken(text: str, place: int) -> str | None:
    """A name whose surname ends the line: 张, and 三 in the next."""
    match = _BROKEN.match(text, place)
    if not match or match["mark"] or _BEGINS_PARTY.match(match["rest"]):
        return None
    if len(match["surname"]) == 1 and match["surname"] not in SURNAMES:
        return None
    joined = match["surname"] + match["rest"]
    found = find_names(joined, 0, len(joined), lambda start, end: -math.inf if start else 6.0)
    return joined[: found[0][1]] if found else None
