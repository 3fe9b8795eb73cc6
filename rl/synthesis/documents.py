"""The documents of a synthesis: one record for each text, one reason for each file that is none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from curricula.records import each_text, is_file
from rl.errors import UserError
from rl.inference.structuring.judgment_text import read_text
from rl.synthesis.pdf.read import read_pdf
from rl.synthesis.records import Outcome, Record

READERS = {".txt": read_text, ".pdf": read_pdf}
"""What reads the text of a file, by the ending of its name."""
DIGITS = 12
"""Of a text's SHA-256, as its name."""


def read_documents(path: Path, limit: int | None = None) -> Iterator[Outcome]:
    """What became of each file of a folder, or of each record of a file, one by one.

    Raises:
        UserError: if there is no such folder or file, or it is empty.
        DataError: if a file of records is malformed.
    """
    if is_file(path.name):
        found = each_text(path, limit)
        return without_copies((f"{path.name}:{document.source}", document.text, "") for document in found)
    if path.is_file():
        return without_copies([read_file(path, path.parent)])
    if not path.is_dir():
        raise UserError(f"input={path}: no such folder or file; name a folder of judgments as .txt or .pdf files")
    files = files_of(path)
    if not files:
        raise UserError(f"input={path}: the folder holds no file; put judgments there as .txt or .pdf files")
    return without_copies(read_file(file, path) for file in files[:limit])


def files_of(folder: Path) -> list[Path]:
    """The files below a folder and the links in it, sorted; hidden ones are left out."""
    inside = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file() or file.is_symlink())
    return [folder / name for name in inside if not any(part.startswith(".") for part in name.parts)]


def read_file(file: Path, folder: Path) -> tuple[str, str, str]:
    """(source, text, problem) of a text or PDF file, of which text or problem is empty."""
    source = file.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()
    read = READERS.get(file.suffix.lower())
    if not file.is_file():
        return source, "", f"{source} is a link to a folder, which is not followed, or to nothing; put the files there"
    if read is None:
        return source, "", f"{source} is neither a .txt nor a .pdf file; save its text as one"
    try:
        return source, read(file), ""
    except UserError as error:
        return source, "", str(error).replace(str(file), source)


def without_copies(read: Iterable[tuple[str, str, str]]) -> Iterator[Outcome]:
    """What became of each (source, text, problem): a text is kept once. Takes 0.3 kB of memory a text."""
    first: dict[str, str] = {}
    for source, text, problem in read:
        name = hashlib.sha256((text or f"file {source}").encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
        fields = {"source": source}
        if problem:
            yield Outcome(name, "failed", fields, "not readable", problem)
        elif name in first:
            copy = hashlib.sha256(f"{name} {source}".encode()).hexdigest()[:DIGITS]
            yield Outcome(copy, "dropped", fields, "copy", f"the same text as {first[name]}")
        else:
            first[name] = source
            record = Record(name, fields | {"text": text}, ({"step": "read"},))
            # The text counts as known, so that it is not written again beside the input.
            yield Outcome(name, "kept", record.fields, made=(record,))
