"""Votes of human reviewers on pairs of answers, kept in SQLite."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rl.errors import UserError
from rl.language import Text

Choice = Literal["first", "second", "tie", "bad"]
"""Which of the two answers is better; ``bad`` where both are bad."""
LONGEST = {"reviewer": 100, "comment": 10_000}
"""Characters."""
_TABLE = """
CREATE TABLE IF NOT EXISTS votes (
    first TEXT NOT NULL, second TEXT NOT NULL, task TEXT NOT NULL, question TEXT NOT NULL, reviewer TEXT NOT NULL,
    choice TEXT NOT NULL, swapped INTEGER NOT NULL, comment TEXT NOT NULL, written REAL NOT NULL,
    PRIMARY KEY (first, second, task, question, reviewer)
)
"""


@dataclass(frozen=True)
class Vote:
    """One reviewer's vote on one question; ``first`` < ``second`` are names of runs."""

    first: str
    second: str
    task: str
    question: str
    reviewer: str
    choice: Choice
    swapped: bool = False
    """Whether the second run's answer was shown as A."""
    comment: str = ""


@dataclass(frozen=True)
class Tally:
    """Votes on a pair of runs in a task; a vote for "both bad" counts as a tie in the win rate."""

    first: str
    second: str
    task: str
    """Empty for all tasks."""
    counts: Counter[str]
    """Votes by choice."""
    agreed: int
    pairs: int
    """Of ``pairs`` pairs of votes by two reviewers on one question, ``agreed`` have the same choice."""

    @property
    def votes(self) -> int:
        """All of them."""
        return self.counts.total()

    def rate(self, choice: Literal["first", "second"] = "first") -> float:
        """Win rate of a run, ties counted half."""
        even = self.counts["tie"] + self.counts["bad"]
        return (self.counts[choice] + even / 2) / max(1, self.votes)


class Votes:
    """A file of votes. Threads and processes may write at once. A vote is on the disk once ``add`` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.execute(_TABLE)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=60)
            try:
                connection.execute("PRAGMA synchronous=FULL")
                with connection:  # commits, or rolls back
                    yield connection
            finally:
                connection.close()
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise UserError(
                Text(
                    "{path}: the vote file can't be used ({error}); fix it and vote again", path=self.path, error=error
                )
            ) from None

    def add(self, vote: Vote) -> None:
        """Keep a vote.

        Raises:
            UserError: if the reviewer has voted on this question before (the first vote stays), the vote has no name or
                an unknown choice, or the file can't be written.
        """
        if not vote.reviewer.strip():
            raise UserError(Text("a vote needs the reviewer's name; write it into the field Reviewer"))
        for field, most in LONGEST.items():
            if len(getattr(vote, field)) > most:
                raise UserError(
                    Text("the field {field} holds more than {most} characters; shorten it", field=field, most=most)
                )
        if vote.choice not in get_args(Choice) or vote.first >= vote.second:
            raise UserError(
                Text(
                    "{choice!r} on {first} and {second} is no vote; choose one of the four",
                    choice=vote.choice,
                    first=vote.first,
                    second=vote.second,
                )
            )
        row = (
            vote.first, vote.second, vote.task, vote.question, vote.reviewer.strip(), vote.choice, int(vote.swapped),
            vote.comment, time.time(),
        )  # fmt: skip
        try:
            with self._open() as connection:
                connection.execute("INSERT INTO votes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise UserError(
                Text("{name} has voted on this question before; the first vote stays, and Review goes on", name=row[4])
            ) from None

    def all(self) -> list[Vote]:
        """Every vote, in the order they came. Raises UserError if the file can't be read."""
        with self._open() as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(
                "SELECT first, second, task, question, reviewer, choice, swapped, comment FROM votes "
                "ORDER BY written, rowid"
            ).fetchall()
        return [Vote(**{**row, "swapped": bool(row["swapped"])}) for row in map(dict, rows)]

    def done(self, first: str, second: str, reviewer: str) -> set[tuple[str, str]]:
        """(task, question) of each vote of a reviewer on two runs. Raises UserError if the file can't be read."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT task, question FROM votes WHERE first = ? AND second = ? AND reviewer = ?",
                (first, second, reviewer.strip()),
            ).fetchall()
        return {(task, question) for task, question in rows}


def tallies(votes: Sequence[Vote]) -> list[Tally]:
    """Each pair of runs over all tasks, then by task."""
    groups: dict[tuple[str, str, str], list[Vote]] = {}
    for vote in votes:
        for task in ("", vote.task):
            groups.setdefault((vote.first, vote.second, task), []).append(vote)
    return [_tally(*key, some) for key, some in sorted(groups.items())]


def _tally(first: str, second: str, task: str, votes: Sequence[Vote]) -> Tally:
    questions: dict[tuple[str, str], Counter[str]] = {}
    for vote in votes:
        questions.setdefault((vote.task, vote.question), Counter())[vote.choice] += 1
    agreed = sum(n * (n - 1) // 2 for counts in questions.values() for n in counts.values())
    pairs = sum(counts.total() * (counts.total() - 1) // 2 for counts in questions.values())
    return Tally(first, second, task, Counter(vote.choice for vote in votes), agreed, pairs)
