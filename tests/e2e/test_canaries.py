"""The search for secrets finds them where they may stand."""

import gzip
import sqlite3
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq

from tests.e2e.canaries import CANARIES, holding


def test_canaries_are_found_in_every_kind_of_file(tmp_path):
    (name, value), *_ = CANARIES.items()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log.txt").write_text(f"key={value}")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(f"x{value}".encode()))
    pq.write_table(pa.table({"text": [value * 3] * 100}), tmp_path / "rows.parquet", compression="zstd")
    with closing(sqlite3.connect(tmp_path / "kept.sqlite", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE answers (key TEXT)")
        connection.execute("INSERT INTO answers VALUES (?)", ("x" * 5000 + value,))
    (tmp_path / "clean.txt").write_text("canary")
    files = ["deep/log.txt", "kept.sqlite", "packed.gz", "rows.parquet"]
    assert holding(tmp_path) == [f"{file}: {name}" for file in files]
