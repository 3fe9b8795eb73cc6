"""The passages that are searched: articles of law."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from curricula.numerals import ARTICLE, article_key
from curricula.statutes import Statutes, load_statutes

_CHAPTER = re.compile(r"^第[一二三四五六七八九十百零]+章\s*")


@dataclass(frozen=True)
class Passage:
    """One article of law, to be searched and shown."""

    law: str
    """Name of the law without 中华人民共和国."""
    number: str
    """As printed, such as 第二百六十四条."""
    text: str
    """Its text without the number."""
    chapter: str = ""
    """Title of its chapter, without the chapter's number; empty where the law has none."""

    @property
    def place(self) -> str:
        """《刑法》第二百六十四条."""
        return f"《{self.law}》{self.number}"

    @property
    def searched(self) -> str:
        """The text that is indexed: law and chapter, which give the subject of the article, and its text."""
        return f"{self.law} {self.chapter} {self.text}" if self.chapter else f"{self.law} {self.text}"

    @property
    def key(self) -> tuple[str, tuple[int, int]]:
        """(law, (article, insertion)), such as ("刑法", (17, 1))."""
        return self.law, article_key(self.number)


def statute_passages() -> tuple[Passage, ...]:
    """Every article of a law in force that can be cited; the items of amendments and decisions have no number.

    Raises:
        DataError: if the statute database is not installed.
    """
    return _passages(load_statutes())


@lru_cache(maxsize=2)
def _passages(statutes: Statutes) -> tuple[Passage, ...]:
    return tuple(
        Passage(a.short, a.number, a.text, _CHAPTER.sub("", a.chapter or ""))
        for a in statutes.articles()
        if ARTICLE.fullmatch(a.number)
    )


def fingerprint(texts: tuple[str, ...]) -> str:
    """SHA-256 over texts, in order."""
    found = hashlib.sha256()
    for text in texts:
        found.update(f"{len(text)}\x1f{text}".encode("utf-8", "surrogatepass"))
    return found.hexdigest()
