"""``python -m tools.contamination TRAINING_FILE.. --benchmarks NAME.. --root ROOT``: test questions in training data.

A question is a hit when one training record holds at least ``--share`` of its n-grams of characters (without
punctuation and white space; n is 13 by default, after Brown et al. 2020), or when a prompt or document has at least
``--similarity`` to it (Jaccard, by MinHash). The beginning and the end that all questions of a task share do not count,
and questions of less than ``SHORTEST`` characters are skipped. The exit code is 1 if there are hits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from curricula.command import command, program
from curricula.contamination import (
    NGRAM,
    SHARE,
    SIMILARITY,
    Contamination,
    Found,
    TestQuestion,
    frame,
    plain,
    records,
)
from curricula.errors import DataError
from rl.errors import UserError
from rl.evaluation.benchmark_questions import questions

__all__ = ["frame", "main", "plain"]


@command(UserError, DataError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 without hits, 1 with hits, 2 if something can't be read."""
    parser = argparse.ArgumentParser(program("tools.contamination"), description="Test questions in training data.")
    parser.add_argument("training", nargs="+", type=Path, help="JSON Lines, Parquet or text files, or folders of them")
    parser.add_argument("--benchmarks", nargs="+", required=True, help="names, or name:task, or YAML files")
    parser.add_argument("--root", type=Path, required=True, help="folder with a folder for each benchmark")
    parser.add_argument("--n", type=int, default=NGRAM, help="characters of an n-gram (default 13)")
    parser.add_argument("--share", type=float, default=SHARE, help="share of a question's n-grams in one record (0.5)")
    parser.add_argument("--similarity", type=float, default=SIMILARITY, help="Jaccard similarity by MinHash (0.8)")
    parser.add_argument("--show", type=int, default=5, help="hits to print (5)")
    chosen = parser.parse_args(argv)
    if chosen.n < 1 or not 0 < chosen.share <= 1 or not 0 < chosen.similarity <= 1:
        parser.error("--n must be at least 1, --share and --similarity in (0, 1]")
    console = Console(soft_wrap=True)
    found = questions(chosen.benchmarks, chosen.root)
    search, training = Contamination(found, chosen.n, chosen.similarity), 0
    for record in (record for path in chosen.training for record in records(path)):
        search.note(record)
        training += 1
    _print(console, found, training, chosen)
    return 1 if any(_hit(item, chosen) for item in found.items) else 0


def _hit(item: TestQuestion, chosen: argparse.Namespace) -> bool:
    return item.share >= chosen.share or item.similarity > 0


def _print(console: Console, found: Found, training: int, chosen: argparse.Namespace) -> None:
    table = Table("task", "questions", f"{chosen.n}-grams", "MinHash", "hits", "share")
    for task in dict.fromkeys(item.task for item in found.items):
        items = [item for item in found.items if item.task == task]
        hits = sum(_hit(item, chosen) for item in items)
        table.add_row(
            task, str(len(items)), str(sum(item.share >= chosen.share for item in items)),
            str(sum(item.similarity > 0 for item in items)), str(hits), f"{hits / len(items):.1%}",
        )  # fmt: skip
    console.print(table)
    console.print(f"{training} training records")
    if found.missing:
        console.print(f"no data of {', '.join(found.missing)}")
    for item in [item for item in found.items if _hit(item, chosen)][: chosen.show]:
        console.print(
            f"{item.task} question {item.id}: {item.share:.0%} of its n-grams in {item.share_in or 'no record'}, "
            f"similarity {item.similarity:.2f} to {item.similar_to or 'none'}: {item.text[:40]}",
            markup=False, highlight=False,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
