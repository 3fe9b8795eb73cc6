"""Answers by the hash of what was asked, in SQLite, shared by processes."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BATCH = 500
"""Keys looked up by one statement."""


def key_of(*parts: Any) -> str:
    """SHA-256 of JSON values."""
    content = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


class Cache:
    """A table of answers. Several processes may read and write at once (write-ahead log, waiting for locks)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
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

    def get(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The known answers, by key."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", some)
            found |= {key: json.loads(answer) for key, answer in rows}
        return found

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer; if the key has one, that one stays."""
        self._connection.execute(
            "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (key, json.dumps(answer, ensure_ascii=False), time.time())
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
