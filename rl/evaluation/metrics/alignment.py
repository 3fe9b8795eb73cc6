"""Cheapest alignments of two sentences, character by character, at ChERRANT's costs (Zhang et al. 2022, arXiv
2204.10994, granularity ``char``).

Keeping a character is free and always done where both sides have it; deleting or inserting one costs 1; putting k + 1
characters in another order costs k. Replacing one costs the sum of three parts: *meaning* (0 to 1 by how many of the
three levels of their classes in the thesaurus Cilin differ, 2/3 where one has no class), *form* (0 if both are Chinese
and sound alike or are known to be confused, else 0.5) and *kind* (0 between punctuation marks, 0.25 between others,
0.499 between one and the other).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from rl.evaluation.metrics.characters import PUNCTUATION, Tables, chinese


class EditStep(NamedTuple):
    """A step of an alignment: ``source[start:end]`` becomes ``target[to:until]``."""

    kind: str
    """M keep, S replace, D delete, I insert, T put in another order."""
    start: int
    end: int
    to: int
    until: int


Move = tuple[str, int, int]
"""Kind, characters of the source, characters of the target."""
Moves = list[list[tuple[Move, ...]]]
"""The cheapest last moves towards each pair of prefixes, by their lengths."""
KEEP, REPLACE, INSERT, DELETE = ("M", 1, 1), ("S", 1, 1), ("I", 0, 1), ("D", 1, 0)
CHOICES = {
    chosen: tuple(move for move, taken in zip((REPLACE, INSERT, DELETE), chosen, strict=True) if taken)
    for chosen in product((False, True), repeat=3)
}


@lru_cache(maxsize=2**20)
def replacing(one: str, other: str, tables: Tables) -> float:
    """Cost of replacing one character by another, 0 to 1.75."""
    left, right = tables.classes.get(one), tables.classes.get(other)
    levels = 2 if left is None or right is None else 3 - sum(a == b for a, b in zip(left, right, strict=True))
    alike = chinese(one) and chinese(other) and tables.alike(one, other)
    marks = (one in PUNCTUATION) + (other in PUNCTUATION)
    return 2 * levels / 6.0 + (0.0 if alike else 0.5) + (0.25, 0.499, 0.0)[marks]


@dataclass(frozen=True)
class Grid:
    """All cheapest alignments of two sentences."""

    moves: Moves
    looks: int
    """How many searches for another order were made, each at one length."""
    looked_at: int
    """Characters compared in these searches, on each side."""

    def preferred(self) -> Grid:
        """One alignment. Among equal moves it prefers another order, then replacing, then inserting, then deleting."""
        return replace(self, moves=[[best[:1] for best in row] for row in self.moves])

    def steps(self) -> dict[tuple[int, int], list[EditStep]]:
        """The last steps towards each pair of prefixes that an alignment passes, shorter prefixes first."""
        passed, waiting = set(), [(len(self.moves) - 1, len(self.moves[0]) - 1)]
        while waiting:
            place = i, j = waiting.pop()
            if place not in passed:
                passed.add(place)
                waiting += [(i - rows, j - columns) for _, rows, columns in self.moves[i][j]]
        return {
            (i, j): [EditStep(kind, i - a, i, j - b, j) for kind, a, b in self.moves[i][j]] for i, j in sorted(passed)
        }

    def count(self) -> tuple[int, int]:
        """(number of alignments, number of their different tails, the whole alignments included)."""
        steps = self.steps()
        ends = Counter({next(reversed(steps)): 1})
        for place in reversed(steps):
            for step in steps[place]:
                ends[step.start, step.to] += ends[place]
        return ends[0, 0], ends.total()


@lru_cache(maxsize=4)
def cheapest(source: str, target: str, tables: Tables) -> Grid:
    """All cheapest alignments. Costs are added in ChERRANT's order, so that the same alignments tie."""
    prices = {one: [replacing(one, other, tables) for other in target] for one in set(source)}
    moves: Moves = [[(), *((INSERT,) for _ in target)]]
    costs = [[float(n) for n in range(len(target) + 1)]]
    runs = [0] * (len(target) + 1)  # steps with a cost on the diagonal up to here, without a break
    looks = looked_at = 0
    met = [-1] * len(target)  # the last place of the target's character in the source
    for i, one in enumerate(source):
        above, row, run, last = costs[-1], [i + 1.0], [0], -1
        here: list[tuple[Move, ...]] = [(DELETE,)]
        for j, (other, price) in enumerate(zip(target, prices[one], strict=True)):
            best: tuple[Move, ...] = (KEEP,)
            if one == other:
                cost, met[j], last = above[j], i, j
            else:
                replaced, inserted, deleted = above[j] + price, row[j] + 1, above[j + 1] + 1
                least = max(i - met[j], j - last)
                k = _reordered(source, target, i, j, least, runs[j]) if least <= runs[j] else 0
                moved = costs[i - k][j - k] + k if k else math.inf
                cost = min(moved, replaced, inserted, deleted)
                looked = k or runs[j]
                looks, looked_at = looks + looked, looked_at + looked * (looked + 3) // 2
                best = CHOICES[replaced == cost, inserted == cost, deleted == cost]
                if moved == cost:
                    best = (("T", k + 1, k + 1), *best)
            row.append(cost)
            here.append(best)
            run.append(0 if cost == above[j] else runs[j] + 1)
        moves.append(here)
        costs.append(row)
        runs = run
    return Grid(moves, looks, looked_at)


def _reordered(source: str, target: str, i: int, j: int, least: int, most: int) -> int:
    """Smallest k in ``least..most`` for which the k + 1 characters up to ``i`` and ``j`` are the same in some order."""
    counts: dict[str, int] = defaultdict(int)
    apart = 0
    for k in range(most + 1):
        for character, sign in ((source[i - k], 1), (target[j - k], -1)):
            apart -= abs(counts[character])
            counts[character] += sign
            apart += abs(counts[character])
        if k >= least and not apart:
            return k
    return 0
