"""``python -m tests.rl.synthesis.measure_faithful [SEEDS]``: how often the check of rewritings is right.

Precision is the share of faithful rewritings that pass, recall the share of changed ones of which the changed kind of
fact is named.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rl.synthesis.faithful import faithful
from tests.rl.synthesis.judgments import Judgment, judgments
from tests.rl.synthesis.rewritings import changed_ones, faithful_ones


def figures(of: Sequence[Judgment], seeds: int) -> tuple[list[Any], int, list[tuple[str, str, str]], Counter[str]]:
    """(faithful ones that are refused, how many there are, changed ones that are missed, how many by kind)."""
    refused, good = [], 0
    missed: list[tuple[str, str, str]] = []
    changed: Counter[str] = Counter()
    for seed in range(seeds):
        rng = random.Random(seed)
        for judgment in of:
            for one in faithful_ones(judgment, rng):
                good += 1
                result = faithful(one.source, one.text)
                if not result.faithful:
                    refused.append((judgment.name, one.how, result.lost, result.invented))
            for one in changed_ones(judgment, rng):
                changed[one.changed] += 1
                result = faithful(one.source, one.text)
                if one.changed not in {*result.lost, *result.invented}:
                    missed.append((judgment.name, one.changed, one.how))
    return refused, good, missed, changed


if __name__ == "__main__":
    refused, good, missed, changed = figures(judgments(), int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(f"precision {1 - len(refused) / good:.4f} of {good} faithful rewritings")
    for kind, count in sorted(changed.items()):
        print(f"recall {1 - sum(one[1] == kind for one in missed) / count:.4f} of {count} with other {kind}")
    for one in (*refused[:10], *missed[:10]):
        print(one)
