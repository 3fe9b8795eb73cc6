"""A law through time: its texts, when each took effect, and when it was repealed."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from curricula.statutes.article import STATE, WHOLE, Article

LATEST = timedelta(days=365)
"""How long after its adoption a text counts as in force if its day of effect is unknown."""


@dataclass(frozen=True)
class Version:
    """The text of a law from one adoption to the next."""

    adopted: date
    effective: date | None
    """First day on which it is law; None if that is unknown."""
    articles: tuple[Article, ...]

    @cached_property
    def numbered(self) -> dict[tuple[int, int], Article]:
        """The articles by number; the first of those with the same one. Texts without a number are left out."""
        found: dict[tuple[int, int], Article] = {}
        for article in self.articles:
            if article.number != WHOLE:
                found.setdefault(article.key, article)
        return found

    def surely_from(self) -> date:
        """The day from which it certainly is law, unless a later one is."""
        return self.effective or self.adopted + LATEST

    def maybe_from(self) -> date:
        """The day from which it may be law."""
        return self.effective or self.adopted


@dataclass(frozen=True)
class Amendment:
    """What changes a law: an amendment or a decision to amend, as it was adopted."""

    title: str
    law: str
    """Official name of the law that it changes."""
    adopted: date
    effective: date
    items: tuple[tuple[str, str], ...]
    """(number as printed, text)."""


@dataclass(frozen=True)
class Law:
    """A law with every text of it that is held."""

    name: str
    versions: tuple[Version, ...]
    """By adoption; a later one takes the place of the earlier."""
    repealed: date | None = None
    """First day on which it is no longer law."""
    replaced_by: str = ""
    """Title of the law that took its place."""
    doubtful: bool = False
    """Whether the package calls it repealed and nothing says when or by what."""
    amendments: tuple[Amendment, ...] = ()
    """What amends it, by adoption; a text carries those adopted no later than itself."""
    parts: tuple[Version, ...] = ()
    """A user's articles, which take the place of those in force."""

    @property
    def short(self) -> str:
        """Name without 中华人民共和国."""
        return self.name.removeprefix(STATE)

    def texts(self, day: date) -> tuple[Version, ...]:
        """The text that is law on a day; two if either may be; empty if none of the texts is."""
        sure = [version for version in self.versions if version.surely_from() <= day]
        maybe = [v for v in self.versions if v.surely_from() > day >= v.maybe_from()]
        return (*sure[-1:], *maybe[-1:])
