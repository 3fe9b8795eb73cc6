"""Secrets that a run is given, and the search for them in all that it leaves."""

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq

from rewards.judge.options import KEY_ENV as JUDGE_KEY
from rl.inference.backend import KEY_ENV as SERVER_KEY
from tests.rl.records.wandb_files import records

VARIABLES = (
    JUDGE_KEY, SERVER_KEY, "WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "RAY_AUTH_TOKEN", "ANTHROPIC_API_KEY",
    "DASHSCOPE_API_KEY", "AWS_SECRET_ACCESS_KEY",
)  # fmt: skip
"""Variables that hold keys: those that the code reads, those of the libraries below it, and some of others."""
CANARIES = {name: f"canary{number:034x}" for number, name in enumerate(VARIABLES, 0xC0FFEE)}
"""As long as a key of W&B, which looks at it."""


def holding(folder: Path) -> list[str]:
    """The files of a folder that hold a canary, and which; also packed ones, and those that are no plain text."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = b"\n".join(_contents(path))
        found += [
            f"{path.relative_to(folder)}: {name}" for name, value in CANARIES.items() if value.encode() in content
        ]
    whole = b"\n".join(record.SerializeToString() for record in records(folder))  # the file itself is cut into blocks
    return found + [f"wandb: {name}" for name, value in CANARIES.items() if value.encode() in whole]


def _contents(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    yield raw
    if raw.startswith(b"\x1f\x8b"):
        yield gzip.decompress(raw)
    if raw.startswith(b"PAR1"):
        yield repr(pq.read_table(path).to_pylist()).encode()
    if raw.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            yield "\n".join(connection.iterdump()).encode()
