"""The cache of answers where it can't be written."""

import shutil
import sqlite3

import pytest

from curricula.errors import DataError
from rewards.cache import Cache


def test_a_full_disk_is_not_taken_for_damage(tmp_path, monkeypatch):
    cache = Cache(tmp_path / "answers.sqlite")
    cache._connection.execute("PRAGMA max_page_count=2")  # SQLite then says what it says of a full disk
    with pytest.raises(DataError, match="if it is damaged") as raised:
        cache.put("key", {"text": "x" * 10_000})
    assert isinstance(raised.value.__cause__, sqlite3.OperationalError) and "full" in str(raised.value)
    full = shutil.disk_usage(tmp_path)._replace(free=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full)
    with pytest.raises(DataError, match="because its disk is full; free some space and run the same command again"):
        cache.put("key", {"text": "x" * 10_000})
