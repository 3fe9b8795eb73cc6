"""The law in force on a day."""

import hashlib
import unicodedata
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

from curricula.errors import DataError
from curricula.numerals import article_key
from curricula.statutes.amendments import Key, apply, moves_articles, named_articles, read_item
from curricula.statutes.article import DELETED, STATE, WHOLE, Article
from curricula.statutes.base import Base
from curricula.statutes.timeline import Amendment, Law, Version
from curricula.statutes.titles import edition, plain

Status = Literal["in force", "not yet in force", "repealed", "unknown"]


@dataclass(frozen=True)
class Standing:
    """Whether a norm is in force on the day."""

    title: str
    """Official name, or the usual one where no text is held."""
    status: Status
    reason: str = ""
    """Why it is not in force, or why that is unknown."""


@dataclass(frozen=True)
class Consolidated:
    """A law's text on the day."""

    articles: dict[Key, Article]
    """By number; deleted ones are left out."""
    others: tuple[Article, ...]
    """Texts without a number."""
    unknown: frozenset[Key]
    """Articles whose text on the day is not known."""
    years: frozenset[int]
    """Years in which this text was adopted, amended or took effect, as titles name them."""
    amended: tuple[Amendment, ...]
    """Amendments that were applied to the text that is held."""


class Statutes:
    """Look-up of laws and articles in force on a day."""

    def __init__(self, base: Base, as_of: date) -> None:
        self.as_of, self.snapshot, self._base = as_of, base.snapshot, base
        self._laws = {law.name: law for law in base.laws}
        self._standing = {name: _standing(law, as_of, base.snapshot) for name, law in self._laws.items()}
        self._amendments = {one.title: one for one in base.amendments}
        self._names = {plain(name): name for name in self._laws}

    @cached_property
    def _texts(self) -> dict[str, Consolidated]:
        found = {
            n: consolidated(self._laws[n], self.as_of) for n, s in self._standing.items() if s.status == "in force"
        }
        return {name: text for name, text in found.items() if text.articles or text.others}

    @property
    def amendments(self) -> tuple[Amendment, ...]:
        """Amendments and decisions to amend that are held, by adoption, whatever the day."""
        return self._base.amendments

    def applied(self, law: str) -> tuple[Amendment, ...]:
        """The amendments that were applied to the text of a law that is held."""
        name = self.resolve_law(law)
        return self._texts[name].amended if name is not None else ()

    def not_in_force(self) -> list[str]:
        """Why laws that are held are not in force, or why that is unknown; and which are known only in part."""
        every = (self.standing(name) for name in self._standing)
        found = [standing.reason for standing in every if standing is not None and standing.status != "in force"]
        for name, text in self._texts.items():
            if text.unknown:
                found.append(f"{name.removeprefix(STATE)}: {len(text.unknown)} articles are not known")
        return found

    @property
    def laws(self) -> tuple[str, ...]:
        """Official names of the laws in force."""
        return tuple(self._texts)

    @cached_property
    def _articles(self) -> tuple[Article, ...]:
        return tuple(article for law in self._texts for article in self._by_law[law])

    @cached_property
    def _by_law(self) -> dict[str, tuple[Article, ...]]:
        return {law: (*text.articles.values(), *text.others) for law, text in self._texts.items()}

    def articles(self, law: str | None = None) -> tuple[Article, ...]:
        """Articles of one law (full or short name), or of all, as far as their text is known.

        Raises:
            DataError: if no such law is in force; the message says since when, or names the nearest.
        """
        if law is None:
            return self._articles
        name = self.resolve_law(law)
        if name is None:
            standing = self.standing(law)
            if standing is not None:
                raise DataError(f"no law in force is named {law}: {standing.reason}")
            near = get_close_matches(plain(law), [plain(name) for name in self._texts], n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise DataError(f"no law in force is named {law}{hint}")
        return self._by_law[name]

    def resolve_law(self, name: str) -> str | None:
        """Official name of a law in force by its full or short name, in any writing; None if none is in force."""
        found = self._names.get(plain(name)) or self._names.get(edition(name)[0])
        return found if found in self._texts else None

    @cached_property
    def _titles(self) -> frozenset[str]:
        return frozenset((*self._names, *self._base.repeals))

    def holds(self, title: str) -> bool:
        """Whether :meth:`standing` knows a title. Cheap, as texts are searched for titles by trying every end of what
        may be one."""
        written = title.isalpha() and unicodedata.is_normalized("NFKC", title)
        if written and STATE not in title and "全国人" not in title:  # :func:`titles.edition` leaves it as it is
            return title in self._titles
        return self.standing(title) is not None

    def standing(self, title: str) -> Standing | None:
        """The standing of a norm on the day; None if nothing of that title is held.

        A year of amendment in the title (刑法（2020修正）) must be one of the text in force.
        """
        name = self._names.get(plain(title))
        without, year = edition(title)
        name = name or self._names.get(without)
        if name is None:
            return self._repealed(plain(title)) or self._repealed(without)
        found = self._standing[name]
        if found.status == "in force" and name not in self._texts:
            short = name.removeprefix(STATE)
            return Standing(name, "unknown", f"the text of {short} is not known: an amendment of it can't be read")
        if year is None or found.status != "in force" or year in self._texts[name].years:
            return found
        return self._other_edition(name, year)

    def shortened(self, title: str) -> str | None:
        """The law of which a title may be a short name: all its characters stand in the law's name in order, and they
        are at least half of it (税收征管法, 消费者保护法). None if there is none, or the title is held itself."""
        short, _ = edition(title)
        if len(short) < 3 or not short.endswith(("法", "法典")):
            return None
        near = (name for name in (*self._names, *self._base.repeals) if len(short) < len(name) <= 2 * len(short))
        return next((name for name in near if name.endswith(short[-1]) and _in_order(short, name)), None)

    def _repealed(self, title: str) -> Standing | None:
        gone = self._base.repeals.get(title)
        if gone is None:
            return None
        if self.as_of < gone.repealed:
            return Standing(gone.title, "unknown", f"the statutes do not hold {gone.title}, in force on {self.as_of}")
        return Standing(gone.title, "repealed", _repealed(gone.title, gone.repealed, gone.replaced_by))

    def _other_edition(self, name: str, year: int) -> Standing:
        law = self._laws[name]
        for version in law.versions:
            if year in (version.adopted.year, version.surely_from().year):
                later = version.maybe_from() > self.as_of
                status: Status = "not yet in force" if later else "repealed"
                said = f"takes effect on {version.effective}" if later else "has been replaced"
                return Standing(name, status, f"{law.short} of {year} {said}")
        if year > self.as_of.year:
            return Standing(name, "not yet in force", f"there is no {law.short} of {year}")
        return Standing(name, "unknown", f"the statutes do not hold {law.short} of {year}")

    def find(self, law: str, number: str | int) -> Article | None:
        """The article of a law by its number in any writing; None if law or article does not exist, or is not known."""
        name = self.resolve_law(law)
        key = _key(number)
        return self._texts[name].articles.get(key) if name is not None and key is not None else None

    def unknown(self, law: str, number: str | int) -> bool:
        """Whether the text of an article on the day is not known, so that nothing can be said about it."""
        name = self.resolve_law(law)
        if name is None:
            return False
        text = self._texts[name]
        return not text.articles or _key(number) in text.unknown

    def changed(self, law: str, number: str | int) -> Amendment | None:
        """The last amendment that was applied to an article, beyond the text that is held."""
        name, key = self.resolve_law(law), _key(number)
        if name is None:
            return None
        touched = (
            one
            for one in reversed(self._texts[name].amended)
            if any(key in {change.article for change in read_item(item) or ()} for _, item in one.items)
        )
        return next(touched, None)

    def former(self, law: str, number: str | int) -> list[str]:
        """Texts of an article that were law before the day, or will be after it, newest first."""
        name, key = self.resolve_law(law), _key(number)
        if name is None or key is None:
            return []
        own = self._texts[name].articles.get(key)
        versions = (version.numbered for version in reversed(self._laws[name].versions))
        texts = (found.text for numbered in versions if (found := numbered.get(key)) is not None)
        return [text for text in texts if own is None or text != own.text]

    def targets(self, item: Article) -> tuple[str, list[str]] | None:
        """For an item of an amendment: the law that it changed, and the texts in force of the articles concerned.

        None if it is not such an item, or is not read.
        """
        amendment = self._amendments.get(item.law)
        changes = read_item(item.text) if amendment is not None else None
        if amendment is None or not changes:
            return None
        found = (
            self.find(amendment.law, f"第{n}条" + (f"之{i}" if i else "")) for n, i in {c.article for c in changes}
        )
        return amendment.law, [article.text for article in found if article is not None]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every law, number and text, and over what is not known."""
        digest = hashlib.sha256()
        for article in self._articles:
            digest.update(f"{article.law}\x1f{article.number}\x1f{article.text}\x1e".encode())
        for name, standing in sorted(self._standing.items()):
            unknown = sorted(self._texts[name].unknown) if name in self._texts else ""
            digest.update(f"{name}\x1f{standing.status}\x1f{unknown}\x1e".encode())
        return digest.hexdigest()


def _in_order(short: str, name: str) -> bool:
    rest = iter(name)
    return all(character in rest for character in short)


def _key(number: str | int) -> Key | None:
    try:
        return article_key(str(number).removeprefix("条目"))
    except ValueError:
        return None


def _repealed(title: str, day: date, by: str) -> str:
    return f"{title} was repealed on {day}" + (f" and replaced by {by}" if by else "")


def _standing(law: Law, day: date, snapshot: date) -> Standing:
    if law.repealed is not None and day >= law.repealed:
        return Standing(law.name, "repealed", _repealed(law.short, law.repealed, law.replaced_by))
    if law.doubtful:
        return Standing(law.name, "unknown", f"{law.short} is marked as repealed, and nothing says by what")
    if any(version.surely_from() <= day for version in law.versions):
        return Standing(law.name, "in force")
    first = law.versions[0]
    if first.maybe_from() <= day or day < snapshot:  # before the snapshot an earlier text may have been law
        return Standing(law.name, "unknown", f"the statutes do not hold the text of {law.short} on {day}")
    return Standing(law.name, "not yet in force", f"{law.short} takes effect on {first.effective}")


def consolidated(law: Law, day: date) -> Consolidated:
    """The text of a law on a day: the text that is held, then what amends it, item by item, by the day of effect."""
    sure, *maybe = law.texts(day)
    articles, unknown = dict(sure.numbered), set[Key]()
    if maybe:  # either may be law: only what they agree on is known
        other = maybe[0].numbered
        unknown = {
            k for k in articles | other if k not in articles or k not in other or articles[k].text != other[k].text
        }
    later = sorted(
        (one for one in law.amendments if one.adopted > sure.adopted and one.effective <= day),
        key=lambda one: one.effective,
    )
    for amendment in later:
        unknown |= _amend(articles, amendment)
    for part in sorted((one for one in law.parts if one.surely_from() <= day), key=Version.surely_from):
        corrected = part.numbered
        articles |= {key: replace(a, chapter=a.chapter or _chapter(articles, key)) for key, a in corrected.items()}
        unknown -= set(corrected)
    ordered = {key: a for key, a in sorted(articles.items()) if key not in unknown and a.text != DELETED}
    others = tuple(article for article in sure.articles if article.number == WHOLE)
    days = [sure.adopted, sure.effective, *(d for one in later for d in (one.adopted, one.effective))]
    return Consolidated(ordered, others, frozenset(unknown), frozenset(d.year for d in days if d), tuple(later))


def _amend(articles: dict[Key, Article], amendment: Amendment) -> set[Key]:
    """Apply an amendment. Returns the articles that are then unknown: all, if an item that is not read may move any."""
    unknown: set[Key] = set()
    for _, item in amendment.items:
        changes = read_item(item)
        if changes is not None:
            unknown |= apply(changes, articles, amendment.law)
        else:
            unknown |= set(articles) if moves_articles(item) else set(named_articles(item))
    return unknown


def _chapter(articles: dict[Key, Article], key: Key) -> str | None:
    near = articles.get(key) or articles.get((key[0], 0))
    return near.chapter if near else None
