"""Questions that change with the law and otherwise keep their places."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Entry = TypeVar("Entry", bound=Hashable)


def renewed(printed: Sequence[Entry], now: Sequence[Entry], article: Callable[[Entry], Hashable]) -> tuple[Entry, ...]:
    """The entries to draw from: as many as the printed text gives, each as it is in force.

    An entry that is no longer law is replaced by a new one of its article, or else by its neighbour. So a change of the
    law changes only the questions on that article: draws by place find all others where they were.
    """
    known, law = set(printed), set(now)
    fresh: dict[Hashable, list[Entry]] = {}
    for entry in now:
        if entry not in known:
            fresh.setdefault(article(entry), []).append(entry)
    found: list[Entry | None] = []
    for entry in printed:
        instead = fresh.get(article(entry), [])
        found.append(entry if entry in law else instead.pop(0) if instead else None)
    last = next((entry for entry in found if entry is not None), None)
    if last is None:
        return ()
    kept: list[Entry] = []
    for new in found:
        last = last if new is None else new
        kept.append(last)
    return tuple(kept)
