"""Judges and the date of a judgment: the signatures at its end, written line by line or run together."""

from __future__ import annotations

import regex

from rewards.parsing import dates
from rl.inference.structuring.element_schema import Element
from rl.inference.structuring.judgment_text import steadily

MOST = 200
"""Elements of one name."""
_TITLES = (
    "审判长", "代理审判长", "审判员", "代理审判员", "助理审判员", "人民陪审员", "陪审员", "法官助理", "执行员",
    "书记员", "代理书记员", "代书记员", "见习书记员", "实习书记员",
)  # fmt: skip
_ROLE = regex.compile("|".join("[ \t]*".join(title) for title in sorted(_TITLES, key=len, reverse=True)))
_FIRST = regex.compile(rf"(?<![^\s。;]){_ROLE.pattern.join(('(?:', ')'))}(?!或|和|、|及|独任|组成)")
"""Where the signatures begin: a title that begins a line or a sentence."""
_ANNEX = regex.compile(
    r"(?<![^\s。])附|附[^\n]{0,12}(?:法律|法条|条文)|本案(?:判决|裁判|适用|援引|主要)|法律条文|法条|《"
)
"""What may follow the signatures: the articles that were applied, word for word."""
_ZERO = "0OoΟοОо○◯零"
"""Characters written for 〇 in a year."""
_DAY = r"[\d一二三四五六七八九十]{1,3}"
DATE = regex.compile(
    rf"(?<!\d)(?:\d{{4}}|[〇一二三四五六七八九{_ZERO}]{{4}})\s{{0,8}}[年/.\-]"
    rf"\s{{0,8}}(?:{_DAY}|元)\s{{0,8}}[月/.\-]\s{{0,8}}{_DAY}(?!\d)[ \t]?日?"
)
_STOP = regex.compile(rf"{_ROLE.pattern}|{DATE.pattern}|附|第|本[案件判裁]|[(\[。;:《,，—-]|\d")
_NAME = regex.compile(r"[\p{Han}·•×]{2,12}")
_ALIKE = str.maketrans(dict.fromkeys(_ZERO[1:], "〇"))


def signature_elements(text: str, start: int) -> list[Element]:
    """Judges and the date of the judgment, at or after ``start``; the date may be missing."""
    first = _FIRST.search(text, start)
    if first is None:
        return date_elements(text, start, "judgment_date")[-1:]
    begin = first.start()
    annex = _ANNEX.search(text, begin)
    end = annex.start() if annex else len(text)
    found = []
    for role in list(_ROLE.finditer(text, begin, end))[:MOST]:
        name = _name(text, role.end(), end)
        if name is not None:
            value = {"role": "".join(role[0].split()), "name": "".join(text[name[0] : name[1]].split())}
            found.append(Element("judge", value, *name))
    days = date_elements(text[:end], begin, "judgment_date") or date_elements(text[:end], start, "judgment_date")
    return found + days[-1:]


def _name(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The place of a name after a title, up to the next title, date or remark. Its characters may be spaced out:
    王  某."""
    while start < end and text[start] in " \t:":
        start += 1
    line = text.find("\n", start, end)
    stop = _STOP.search(text, start, line if line >= 0 else end)
    piece = text[start : stop.start() if stop else line if line >= 0 else end].rstrip()
    words = list(regex.finditer(r"\S+", piece))
    if not words:
        return None
    last, size = words[0], len(words[0][0])
    for word in words[1:]:
        size += len(word[0])
        if size > 4 or 1 not in (len(last[0]), len(word[0])):
            break
        last = word  # 张 三, 欧阳 某
    name = piece[: last.end()]
    return (start, start + len(name)) if _NAME.fullmatch("".join(name.split())) else None


def date_elements(text: str, start: int, name: str) -> list[Element]:
    """Calendar dates from ``start`` on, as 2021-03-05; impossible ones are left out."""
    found: list[Element] = []
    for match in DATE.finditer(text, start):
        if len(found) == MOST:
            break
        day = steadily(dates, _plain(match[0]))
        if day:
            found.append(Element(name, day[0].isoformat(), *match.span()))
    return found


def _plain(written: str) -> str:
    """A date without spaces, with one character for zero in a Chinese year."""
    year, rest = written[:4], "".join(written[4:].split())
    return (year if year.isdigit() else year.translate(_ALIKE).replace("0", "〇")) + rest.replace("元月", "1月")
