"""Files of a benchmark as its authors publish them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from curricula.strict_json import parse
from rl.errors import UserError
from rl.language import Text


class MissingData(UserError):
    """A file of a benchmark is not at the expected place."""


@dataclass(frozen=True)
class Entry:
    """One entry of a data file."""

    where: str
    """File and entry, for messages."""
    fields: dict[str, Any]

    def text(self, name: str, default: str | None = None) -> str:
        """A field that must hold text. Raises UserError naming file, entry and field."""
        found = self.fields.get(name, default)
        if not isinstance(found, str):
            present = ", ".join(map(str, self.fields)) or "nothing"
            raise UserError(f"{self.where}: field {name} must be text; the entry holds {present}")
        return found


def find_file(title: str, source: str, folder: Path, *names: str) -> Path:
    """The first of ``names`` that exists in ``folder``; ``folder`` itself where it is a file.

    Raises:
        MissingData: naming the dataset, the expected path and where its authors publish it.
    """
    if folder.is_file():
        return folder
    for name in names:
        if (folder / name).is_file():
            return folder / name
    others = Text(" (or {names} in that folder)", names=", ".join(names[1:])) if names[1:] else ""
    raise MissingData(
        Text(
            "{title}: {path} is missing{others}; put the authors' file there, from {source}",
            title=title,
            path=folder / names[0],
            others=others,
            source=source,
        )
    )


def entries(path: Path) -> list[Entry]:
    """Entries of a JSON list, JSON Lines or CSV file, in order. Some authors also call JSON Lines ``.json``.

    Raises:
        UserError: naming file and entry, for a missing, damaged or empty file.
    """
    return list(each_entry(path))


def each_entry(path: Path) -> Iterator[Entry]:
    """As :func:`entries`, one by one: of a file of lines or rows only one is in memory. Raises as it does, at a bad
    entry's turn."""
    empty = True
    try:
        for where, fields in _parts(path):
            if not isinstance(fields, dict):
                raise UserError(f"{where}: expected an object with named fields, found {type(fields).__name__}")
            empty = False
            yield Entry(where, fields)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}); convert it, or fetch it again from its source") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error}; fetch it again from its source") from None
    if empty:
        raise UserError(f"{path} holds no entry; fetch it again from its source")


def _parts(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        if path.suffix.lower() == ".csv":
            yield from _csv(path, file)
        elif path.suffix.lower() == ".jsonl" or _by_line(file):
            lines = enumerate(file, start=1)
            yield from ((f"{path}:{number}", _line(path, number, line)) for number, line in lines if line.strip())
        else:
            yield from values(path, file.read())


def _by_line(file: TextIO) -> bool:
    """Whether a file begins with a line that is a JSON value, and has another one: then it is no single value."""
    filled = (line for line in file if line.strip())
    found = _is_json(next(filled, "")) and next(filled, None) is not None
    file.seek(0)
    return found


def values(path: Path, text: str) -> list[tuple[str, Any]]:
    """(where, value) of each line of JSON Lines, or of each element of a JSON list; one pair for another JSON value."""
    if path.suffix.lower() != ".jsonl":
        try:
            whole = parse(text)
        except ValueError as error:
            first, _, others = text.strip().partition("\n")
            if not others or not _is_json(first):
                raise UserError(f"{path}: {error}") from None
        else:
            return [
                (f"{path}, entry {n}", value) for n, value in enumerate(whole if isinstance(whole, list) else [whole])
            ]
    return [
        (f"{path}:{number}", _line(path, number, line))
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return parse(line)
    except ValueError as error:
        raise UserError(f"{path}:{number}: {error}") from None


def _csv(path: Path, file: TextIO) -> Iterator[tuple[str, Any]]:
    reader = csv.DictReader(file, strict=True)
    try:
        for number, row in enumerate(reader):
            if None in row or None in row.values():
                raise UserError(f"{path}, row {number}: the row and the header have different numbers of fields")
            yield f"{path}, row {number}", row
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not valid CSV: {error}") from None
