"""Every law that is held, through time: the package, the dates that it lacks, and a user's folder, which wins."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path

from curricula.statutes.article import STATE
from curricula.statutes.folder import Fact, Pasted, read_facts, read_folder
from curricula.statutes.package import AMENDING, IN_FORCE, Text, read_package, snapshot_day
from curricula.statutes.timeline import Amendment, Law, Version
from curricula.statutes.titles import plain

_REPEALS = re.compile(r"[^。\n]*同时废止")
_TITLE = re.compile(r"《([^《》]+)》")
_DATE = re.compile(r"自(\d{4})年(\d{1,2})月(\d{1,2})日起(?:施行|生效|实施)")


@dataclass(frozen=True)
class Repeal:
    """A norm that is no longer law."""

    title: str
    repealed: date
    replaced_by: str


@dataclass(frozen=True)
class Base:
    """Everything that is held."""

    laws: tuple[Law, ...]
    """Laws and decisions, in the package's order, a user's new ones last."""
    repeals: dict[str, Repeal]
    """Norms whose text is not held, by :func:`titles.plain`."""
    snapshot: date
    """Day of the newest text of the package."""
    amendments: tuple[Amendment, ...]
    """Amendments and decisions to amend, by adoption."""


@lru_cache(maxsize=4)
def read_base(folder: Path | None = None) -> Base:
    """The base, read once for each folder.

    Raises:
        DataError: if the package is not installed, or the folder is not as it should be.
    """
    facts, pasted = read_folder(folder) if folder is not None else ((), ())
    facts = (*read_facts(), *facts)
    texts = read_package()
    amendments = _amendments(texts, pasted)
    repeals = _repeals(texts, facts)
    by_name: dict[str, list[Text]] = {}
    for text in texts:
        by_name.setdefault(text.law, []).append(text)
    named = {plain(name): name for name in by_name}
    added: dict[str, list[Pasted]] = {}
    for one in pasted:
        if not one.amends:
            added.setdefault(named.setdefault(plain(one.law), one.law), []).append(one)
    laws = [
        _law(name, by_name.get(name, []), added.get(name, []), facts, repeals, amendments)
        for name in [*by_name, *(name for name in added if name not in by_name)]
    ]
    pasted_amendments = [
        Law(one.law, (Version(one.adopted, one.effective, one.articles),))
        for one in pasted
        if one.amends and one.law not in by_name
    ]
    held = {plain(law.name) for law in laws}
    gone = {name: repeal for name, repeal in repeals.items() if name not in held}
    return Base((*laws, *pasted_amendments), gone, snapshot_day(texts), amendments)


def _amendments(texts: Sequence[Text], pasted: Sequence[Pasted]) -> tuple[Amendment, ...]:
    held = (text.as_amendment() for text in texts)
    found = {plain(amendment.title): amendment for amendment in held if amendment is not None}
    names = {plain(text.law): text.law for text in texts}
    for one in pasted:
        if one.amends:
            items = tuple((article.number, article.text) for article in one.articles)
            law = names.get(plain(one.amends), one.amends)
            found[plain(one.law)] = Amendment(one.law, law, one.adopted, one.effective, items)
    return tuple(sorted(found.values(), key=lambda one: (one.adopted, one.effective)))


def _law(
    name: str,
    texts: Sequence[Text],
    pasted: Sequence[Pasted],
    facts: Sequence[Fact],
    repeals: dict[str, Repeal],
    amendments: Sequence[Amendment],
) -> Law:
    own = [fact for fact in facts if plain(fact.law) == plain(name)]
    amending = [one for one in amendments if one.law == name]
    known = {one.adopted: one.effective for one in amending}
    known |= {fact.adopted: fact.effective for fact in own if fact.adopted and fact.effective}
    versions = {
        text.adopted: Version(text.adopted, known.get(text.adopted) or _effect(text), text.articles) for text in texts
    }
    versions |= {one.adopted: _pasted_version(one, name) for one in pasted if not one.part}
    parts = tuple(_pasted_version(one, name) for one in pasted if one.part)
    repeal = repeals.get(plain(name))
    if repeal is not None and any(version.adopted > repeal.repealed for version in versions.values()):
        repeal = None  # a later law has the same title
    marked = any(text.status not in (*IN_FORCE, "历史版本") for text in texts)
    cleared = any(fact.in_force for fact in own) or bool(pasted)
    return Law(
        name,
        tuple(version for _, version in sorted(versions.items())),
        None if repeal is None else repeal.repealed,
        "" if repeal is None else repeal.replaced_by,
        doubtful=marked and repeal is None and not cleared,
        amendments=tuple(amending),
        parts=parts,
    )


def _pasted_version(one: Pasted, name: str) -> Version:
    return Version(one.adopted, one.effective, tuple(replace(article, law=name) for article in one.articles))


def _effect(text: Text) -> date | None:
    """First day of a text: as it says itself at its end, or as the package says if that is not before its
    adoption. An amended law names the day of its first text, which says nothing of this one."""
    if text.kind in AMENDING:
        return text.stated or text.effective
    stated = text.stated
    if stated is not None and stated >= text.adopted:
        return stated
    return text.effective if text.effective >= text.adopted else None


def _repeals(texts: Iterable[Text], facts: Iterable[Fact]) -> dict[str, Repeal]:
    """What laws of the package say they repeal (同时废止), and what the lists of dates say."""
    found: dict[str, Repeal] = {}
    for text in texts:
        for article in text.articles:
            for clause in _REPEALS.findall(article.text) if "同时废止" in article.text else ():
                stated = _DATE.search(article.text)
                day = date(*map(int, stated.groups())) if stated else text.effective
                for title in _TITLE.findall(clause):
                    key, by = plain(title), text.law.removeprefix(STATE)
                    if key != plain(text.law) and (key not in found or day < found[key].repealed):
                        found[key] = Repeal(title.replace(STATE, ""), day, by)
    for fact in facts:
        if fact.repealed is not None:
            title = fact.law.removeprefix(STATE)
            found[plain(fact.law)] = Repeal(title, fact.repealed, fact.replaced_by.removeprefix(STATE))
    return found
