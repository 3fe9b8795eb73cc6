"""Whether a rewriting says what its source says: its facts are neither lost nor invented."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from rl.config.rephrasing_steps import FactKind
from rl.inference.structuring.judgment_text import aligned
from rl.synthesis.facts import Facts, facts, minor

KINDS: tuple[FactKind, ...] = ("numbers", "dates", "citations", "case_numbers", "names")


@dataclass(frozen=True)
class Faithfulness:
    """What a rewriting changed."""

    lost: dict[FactKind, tuple[str, ...]]
    """Facts of the source that the rewriting does not have, by kind; only kinds that lost some."""
    invented: dict[FactKind, tuple[str, ...]]
    """Facts of the rewriting that the source does not have."""
    kept: int
    """Facts of the source that the rewriting has."""

    @property
    def faithful(self) -> bool:
        """Whether nothing is lost and nothing invented."""
        return not self.lost and not self.invented

    def report(self) -> dict[str, Any]:
        """As JSON."""
        return {"faithful": self.faithful, "kept": self.kept, "lost": self.lost, "invented": self.invented}


def faithful(source: str, text: str, may_lose: Collection[FactKind] = ()) -> Faithfulness:
    """Compare the facts of a rewriting with those of its source, whatever their writing and order.

    Small counts up to ten may be left out. A date may be named by its month or year where the source has the day. A
    name is kept where it stands anywhere in the rewriting. Who did what is not compared: two sums that change places
    are not seen.

    Args:
        may_lose: kinds that a rewriting may leave out, such as the case numbers of a summary.
    """
    ours, theirs = facts(source), facts(text)
    plain_source, plain_text = ("".join(aligned(one).split()) for one in (source, text))
    lost: dict[FactKind, tuple[str, ...]] = {}
    invented: dict[FactKind, tuple[str, ...]] = {}
    kept = 0
    for kind in KINDS:
        here, there = getattr(ours, kind), getattr(theirs, kind)
        gone = {one for one in here if not _has(kind, one, there, plain_text)}
        new = {one for one in there if not _known(kind, one, ours, plain_source)}
        kept += len(here) - len(gone)
        if gone and kind not in may_lose:
            lost[kind] = tuple(sorted(gone))
        if new:
            invented[kind] = tuple(sorted(new))
    return Faithfulness(lost, invented, kept)


def _has(kind: FactKind, fact: str, there: frozenset[str], text: str) -> bool:
    """Whether a rewriting has a fact of the source."""
    if kind == "names":
        return fact in text
    return fact in there or (kind == "numbers" and minor(fact)) or (kind == "dates" and _finer(fact, there))


def _known(kind: FactKind, fact: str, source: Facts, text: str) -> bool:
    """Whether the source has a fact of a rewriting."""
    known: frozenset[str] = getattr(source, kind)
    if kind == "names":
        return fact in text
    if kind == "dates":
        return fact in known or _finer(fact, known)
    if kind == "citations" and fact.startswith("第"):
        return any(one.endswith(fact) for one in known)
    return fact in known


def _finer(date: str, dates: frozenset[str]) -> bool:
    """Whether there is a date within this month or year."""
    return any(one.startswith(f"{date}-") for one in dates)
