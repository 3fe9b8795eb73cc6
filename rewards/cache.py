"""Answers by the hash of what was asked, in SQLite, shared by processes. A damaged answer is forgotten and made again;
a damaged file is a DataError."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curricula.errors import DataError

NO_SPACE = 1 << 20
"""Free bytes of a disk that count as none."""
BATCH = 500
"""Keys looked up by one statement."""


def key_of(*parts: Any) -> str:
    """SHA-256 of JSON values."""
    content = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


class Cache:
    """A table of answers. Several processes may read and write at once (write-ahead log, waiting for locks)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._sentence():
            self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._retry("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._retry("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, written REAL)")

    def _retry(self, statement: str) -> None:
        for attempt in range(50):  # switching to the write-ahead log does not wait for locks
            try:
                self._connection.execute(statement)
                return
            except sqlite3.OperationalError:
                if attempt == 49:
                    raise
                time.sleep(0.05)

    @contextmanager
    def _sentence(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if shutil.disk_usage(self.path.parent).free < NO_SPACE:
                raise DataError(
                    f"the cache {self.path} can't be used because its disk is full; free some space and run the same "
                    f"command again"
                ) from error
            raise DataError(
                f"the cache {self.path} can't be used ({error}); if it is damaged, move it and the files "
                f"{self.path.name}-* beside it away and run the same command again, which makes its answers again"
            ) from error

    def check(self) -> None:
        """Read the whole file.

        Raises:
            DataError: if it is damaged.
        """
        with self._sentence():
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            self._connection.execute("SELECT key, answer, written FROM answers LIMIT 1").fetchall()

    def get(
        self, keys: Sequence[str], fits: Callable[[str, dict[str, Any]], bool] = lambda key, answer: True
    ) -> dict[str, dict[str, Any]]:
        """The known answers, by key. One that is no JSON object, or does not fit, is forgotten."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            marks = ",".join("?" * len(some))
            with self._sentence():
                rows = self._connection.execute(
                    f"SELECT key, CAST(answer AS BLOB) FROM answers WHERE key IN ({marks})", some
                ).fetchall()
            for key, text in rows:
                try:
                    answer = json.loads(text)
                except (ValueError, RecursionError):
                    answer = None
                if isinstance(answer, dict) and fits(key, answer):
                    found[key] = answer
                else:
                    with self._sentence():
                        self._connection.execute("DELETE FROM answers WHERE key = ?", (key,))
        return found

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer; if the key has one, that one stays."""
        content = json.dumps(answer, ensure_ascii=False)
        with self._sentence():
            self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (key, content, time.time()))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
