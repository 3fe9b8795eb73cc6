"""Rows of JSONL and Parquet files, each with its place; a row that can't be read does not hide the others."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from curricula.errors import DataError, together
from curricula.strict_json import BOM, lone_surrogate, parse

T = TypeVar("T")
Record = dict[str, Any]

RECORDS = (".jsonl", ".parquet")
TEXTS = (*RECORDS, ".txt")
SHOWN = 3
"""Bad rows that an error quotes; it counts the others."""
BATCH = 256
"""Parquet rows that are turned into Python values at once."""
BUFFER = 1 << 16
"""Bytes of each column of a Parquet file that are read at once; pyarrow otherwise holds whole groups of rows."""
_PACKED = {".gz": "gunzip", ".zst": "unzstd", ".bz2": "bunzip2", ".xz": "unxz", ".zip": "unzip"}
_MAGIC = {b"\x1f\x8b": ".gz", b"(\xb5/\xfd": ".zst", b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"PK\x03\x04": ".zip"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_TYPES = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


def read_records(path: Path, make: Callable[[Record, str], T], limit: int | None = None) -> list[T]:
    """What ``make`` builds from each record and its place, up to ``limit`` of them. Raises as :func:`each_record`."""
    return list(each_record(path, make, limit))


def each_record(path: Path, make: Callable[[Record, str], T], limit: int | None = None) -> Iterator[T]:
    """As :func:`read_records`, one by one. Fields that are null are left out.

    Raises:
        DataError: for a file that is missing, empty or unreadable; at the end, with the first bad records, each by its
            place (file and line; for Parquet file and row), and how many there are.
    """
    require_file(path)
    count = Count()
    for where, row in _parquet(path) if kind_of(path) == ".parquet" else _jsonl(path):
        if count.good == limit:
            break
        try:
            made = make(_record(row, where), where)
        except DataError as error:
            count.add_bad(error)
            continue
        count.good += 1
        yield made
    count.check(path)


@dataclass
class Count:
    """How many records of a file, or of a part of it, are good or bad, and what is wrong with the first bad ones."""

    good: int = 0
    bad: int = 0
    problems: list[str] = field(default_factory=list)

    def add_bad(self, error: DataError) -> None:
        """Count a bad record."""
        self.bad += 1
        if self.bad <= SHOWN:
            self.problems.append(str(error))

    def __add__(self, later: "Count") -> "Count":
        problems = [*self.problems, *later.problems][:SHOWN]
        return Count(self.good + later.good, self.bad + later.bad, problems)

    def check(self, path: Path) -> None:
        """Raises DataError if one is bad, or if there is none."""
        if self.bad:
            raise DataError(together(self.problems, self.bad, self.good + self.bad, "records are bad"))
        if not self.good:
            raise DataError(f"{path}: the file holds no record")


def require_file(path: Path, kinds: tuple[str, ...] = RECORDS) -> None:
    """Refuse anything but a file of one of these kinds. Raises DataError."""
    require_name(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; give one file, {' or '.join(kinds)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    packed = _packed(path) or kind_of(path)
    if packed in _PACKED:
        raise DataError(f"{path}: the file is compressed; unpack it first ({_PACKED[packed]})")
    if kind_of(path) not in kinds:
        raise DataError(f"{path}: neither {' nor '.join(kinds)}; convert it to one of them")


def require_name(path: Path) -> None:
    """Refuse a path that can't be written as text. Raises DataError."""
    if lone_surrogate(str(path)):
        readable = str(path).encode("utf-8", "backslashreplace").decode()
        raise DataError(f"{readable}: the name of the file is not UTF-8; rename it")


def kind_of(path: Path) -> str:
    """The suffix of a file in small letters: ``.jsonl`` for X.JSONL, too."""
    return path.suffix.lower()


def read_text(path: Path) -> str:
    """A text file, UTF-8 with or without a byte order mark. Raises DataError."""
    with opened(path) as file:
        return decoded(file.read(), str(path)).removeprefix(BOM)


def decoded(data: bytes, where: str) -> str:
    """UTF-8 bytes as text. Raises DataError with a guess at their encoding."""
    if data.startswith(_UTF16) or b"\x00" in data:
        raise DataError(f"{where}: not UTF-8 but UTF-16, or not text at all (it has NUL bytes); save the file as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        reason, place = error.reason, error.start
    try:
        data.decode("gb18030")
        fix = "it may be GB18030: iconv -f GB18030 -t UTF-8"
    except UnicodeDecodeError:
        fix = "save the file as UTF-8"
    raise DataError(f"{where}: not UTF-8 ({reason} at byte {place}); {fix}")


def type_name(value: object) -> str:
    """What a value is, in words."""
    return _TYPES.get(type(value), type(value).__name__)


def shown(name: str) -> str:
    """A name from a file, for a message: as it is, or with escapes where a terminal would not show it."""
    return name if name.isprintable() and name else repr(name)


def checked(text: Any, what: str, *, empty: bool = False, blank: bool = False) -> str:
    """A text without NUL characters; it may be ``empty``, or ``blank`` (white space), only if these are true.

    Raises:
        DataError: that begins with ``what``.
    """
    if not isinstance(text, str):
        number = int(text) if isinstance(text, float) and text.is_integer() else text
        fix = f'; write it as text, such as "{number}"' if isinstance(text, int | float) else ""
        raise DataError(f"{what} must be text, found {type_name(text)}{fix}")
    if not (_visible(text) or (blank if text else empty)):
        raise DataError(f"{what} is {'blank' if text else 'empty'}")
    if "\x00" in text:
        raise DataError(f"{what} has a NUL character (\\u0000), as damaged exports have; take it out")
    return text


def _visible(text: str) -> bool:
    """Whether a text has more than white space and characters of no width."""
    return any(character.isprintable() and not character.isspace() for character in text)


def opened(path: Path) -> BufferedReader:
    """A file to read bytes from. Raises DataError."""
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from None


def _packed(path: Path) -> str | None:
    with opened(path) as file:
        head = file.read(8)
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def _record(row: Any, where: str) -> Record:
    if isinstance(row, DataError):
        raise row
    if not isinstance(row, dict):
        fix = "; write each object in a line of its own" if isinstance(row, list) else ""
        raise DataError(f"{where}: expected an object with named fields, found {type_name(row)}{fix}")
    return without_null(row)


def without_null(row: Record) -> Record:
    """A record without the fields that are null, which count as left out."""
    return {key: value for key, value in row.items() if value is not None}


def _jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    require_utf8(path)
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}:{number}"
                try:
                    yield where, _parsed(line, where)
                except DataError as error:
                    yield where, error


def require_utf8(path: Path) -> None:
    """Refuse a file that begins as UTF-16 does. Raises DataError."""
    with opened(path) as file:
        if file.read(2) in _UTF16:
            raise DataError(f"{path}: the file is UTF-16; save it as UTF-8")


def line_record(line: bytes, where: str) -> Record:
    """The record of a line of a JSONL file, without the fields that are null. Raises DataError."""
    return _record(_parsed(line, where), where)


def _parsed(line: bytes, where: str) -> Any:
    text = decoded(line, where)
    try:
        return parse(text)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
            names = file.schema_arrow.names
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise DataError(f"{path}: the column {twice[0]!r} occurs twice; keep one of them")
            columns = [name for name in names if not _PANDAS_INDEX.fullmatch(name)]
            for batch in file.iter_batches(BATCH, columns=columns):
                for row in _values(batch):
                    number += 1
                    where = f"{path} row {number}"
                    yield where, DataError(f"{where}: {row}") if isinstance(row, Exception) else row
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None


def _values(batch: Any) -> list[Any]:
    """The rows of a batch; the error in place of a row that Python has no value for, such as damaged text."""
    try:
        return list(batch.to_pylist(maps_as_pydicts="strict"))
    except (ValueError, OverflowError, KeyError) as error:
        if batch.num_rows == 1:
            return [error]
    return [row for place in range(batch.num_rows) for row in _values(batch.slice(place, 1))]
