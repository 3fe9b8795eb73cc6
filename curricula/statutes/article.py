"""One article of a law, and the paragraphs (款) and items (项) that its text consists of."""

import re
from dataclasses import dataclass

from curricula.numerals import article_key, to_int

STATE = "中华人民共和国"
DELETED = "（删去）"
"""Text of an article that an amendment has deleted and whose number stays empty."""
WHOLE = "全文"
"""What stands for the number of a text that has none."""

_MARK = re.compile(r"[（(]([一二三四五六七八九十百]+)[)）]")
_ITEM = re.compile(rf"\s*(?:{_MARK.pattern}|\d+[.．、]|[一二三四五六七八九十]+、)")
"""The beginning of a line that is not a paragraph by itself."""


@dataclass(frozen=True)
class Article:
    """One article of a law."""

    law: str
    """Official name, such as 中华人民共和国刑法."""
    number: str
    """As printed, such as 第二百六十四条 or 第十七条之一; 条目四 where a decision numbers its items 四、."""
    text: str
    """Text without the number; paragraphs and items are separated by newlines."""
    chapter: str | None = None

    @property
    def short(self) -> str:
        """Name of the law without 中华人民共和国."""
        return self.law.removeprefix(STATE)

    @property
    def key(self) -> tuple[int, int]:
        """(article, insertion), such as (17, 1) for 第十七条之一."""
        return article_key(self.number.removeprefix("条目"))


def paragraphs(text: str) -> list[str]:
    """The paragraphs of an article; the items of a paragraph stay with it, each on its line."""
    found: list[str] = []
    for line in text.split("\n"):
        if found and _ITEM.match(line):
            found[-1] += "\n" + line
        elif line.strip():
            found.append(line)
    return found


def lacks(article: Article, paragraph: int | None, item: int | None) -> str:
    """The paragraph or item that an article does not have, such as ``paragraph 5``; empty if it has them."""
    whole = paragraphs(article.text)
    if paragraph is not None and not 1 <= paragraph <= len(whole):
        return f"paragraph {paragraph}"
    within = whole if paragraph is None else [whole[paragraph - 1]]
    if item is not None and not any(_has_item(part, item) for part in within):
        return f"item {item}" + (f" in paragraph {paragraph}" if paragraph is not None else "")
    return ""


def _has_item(text: str, item: int) -> bool:
    return any(to_int(match) == item for match in _MARK.findall(text))
