"""Parquet files of a run, with checksums of their pages, so that damage is found and not read as other numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl.errors import UserError
from rl.files import in_one_move

if TYPE_CHECKING:
    import pyarrow as pa


def write(path: Path, table: pa.Table) -> None:
    """Write a table to ``path`` in one move; a missing folder is made."""
    import pyarrow.parquet as pq

    with in_one_move(path) as partial:
        pq.write_table(table, partial, write_page_checksum=True)


def check(path: Path, fix: str) -> None:
    """Read a file only to see whether it can be read.

    Raises:
        UserError: if it is missing or damaged; ``fix`` is what the user can do.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise UserError(f"{path} can't be read as Parquet ({error}); {fix}") from None


def read(
    path: Path, needed: Mapping[str, type], fix: str, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The rows of a file, one dict each.

    Args:
        path: the file.
        needed: columns that it must have, and the type of their values.
        fix: what the user can do about a damaged file.
        columns: the columns to read, as far as it has them; None for all.

    Raises:
        UserError: if it is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = pq.read_schema(path).names
        missing = [name for name in needed if name not in there]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        wanted = [name for name in columns or there if name in there]
        rows: list[dict[str, Any]] = pq.read_table(path, columns=wanted, page_checksum_verification=True).to_pylist()
        for name, kind in needed.items():
            if not all(type(row[name]) is kind for row in rows):
                raise ValueError(f"column {name} has values that are not of type {kind.__name__}")
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise UserError(f"{path} can't be read as Parquet ({error}); {fix}") from None
    return rows
