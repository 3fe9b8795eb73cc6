"""Questions that follow the law and otherwise stay where they are."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Entry = TypeVar("Entry", bound=Hashable)


def renewed(printed: Sequence[Entry], now: Sequence[Entry], article: Callable[[Entry], Hashable]) -> tuple[Entry, ...]:
    """What is drawn from: as many entries as the printed text gives, each as it is in force.

    An entry that is law no more gives its place to a new one of its article, and without one to its neighbour. So a
    change of the law changes the questions on that article alone: draws by place find all others where they were.
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
