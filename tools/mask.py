"""``python -m tools.mask FILES|FOLDER --out FOLDER``: judgments with the personal data masked, and a report.

python -m tools.mask judgments/ --out masked/     # a folder's .txt, .pdf and .jsonl files, or files by name

The masked texts are written in UTF-8 under the same names, that of a PDF file ends with ``.txt``. In JSONL all texts of
a record are masked, as one document. ``report.jsonl`` has a line a file, or a record: counts by kind, and the places
that were masked, without what stood there. What is masked and how well is in docs/guides/privacy.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from curricula.command import command, print_error, program
from rl.errors import UserError
from rl.files import in_one_move, write_bytes
from rl.inference.json_lines import write_lines
from rl.inference.structuring.judgment_text import decoded, read_text
from rl.synthesis.documents import READERS, files_of
from rl.synthesis.privacy.masking import Choice, mask, mask_together

RECORDS = ".jsonl"
ENDINGS = (*READERS, RECORDS)
"""Of the files that are read in a folder."""
REPORT = "report.jsonl"
Line = dict[str, Any]
"""Of the report."""


@command(UserError, OSError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 when everything is masked, 1 when some can't be read, 2 when there is none."""
    parser = argparse.ArgumentParser(program("tools.mask"), description="Personal data of judgments, masked.")
    parser.add_argument(
        "paths", type=Path, nargs="+", help="texts (UTF-8 or GB18030), PDF and JSONL files, or folders with such files"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the masked texts and report.jsonl")
    parser.add_argument("--officials", action="store_true", help="mask judges, clerks and prosecutors too")
    parser.add_argument("--credit-codes", action="store_true", help="mask the credit codes of companies too")
    chosen = parser.parse_args(argv)
    choice = Choice(chosen.officials, chosen.credit_codes)
    places, ends = Counter[str](), Counter[bool]()

    def lines() -> Iterator[Line]:
        for path, name in _files(chosen.paths, chosen.out):
            of_file = _records if path.suffix.lower() == RECORDS else _text
            for line in of_file(path, chosen.out / name, choice):
                ends["error" not in line] += 1
                if "error" in line:
                    print_error(line["error"])
                places.update(line.get("counts", {}))
                yield {"file": str(name), **line}

    write_lines(chosen.out / REPORT, lines())
    table = Table("kind", "places masked")
    for kind, count in sorted(places.items()):
        table.add_row(kind, str(count))
    Console(soft_wrap=True).print(table)
    print(f"{ends[True]} of {ends.total()} texts masked, in {chosen.out}")
    return 1 if ends[False] else 0


def _text(path: Path, out: Path, choice: Choice) -> Iterator[Line]:
    """Mask a text or PDF file."""
    try:
        text = READERS.get(path.suffix.lower(), read_text)(path)
    except UserError as error:
        yield {"error": str(error)}
        return
    masked = mask(text, choice)
    write_bytes(out, masked.text.encode())
    yield masked.report()


def _records(path: Path, out: Path, choice: Choice) -> Iterator[Line]:
    """Mask the texts of each record of a JSONL file, one by one. What is no record is reported and left out."""
    with path.open("rb") as lines, in_one_move(out) as partial, partial.open("w", encoding="utf-8") as file:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = parsed(decoded(line))
            except (ValueError, RecursionError) as error:
                yield {"line": number, "error": f"{path}, line {number} is no JSON object ({error}); correct the line"}
                continue
            texts = dict(texts_of(record))
            masked = mask_together([*texts.values()], choice)
            file.write(json.dumps(with_texts(record, (one.text for one in masked)), ensure_ascii=False) + "\n")
            counts = sum((Counter(one.counts) for one in masked), Counter[str]())
            fields = {".".join(at): one.report() for at, one in zip(texts, masked, strict=True) if one.masks}
            yield {"line": number, "counts": dict(sorted(counts.items())), "fields": fields}
        file.flush()
        os.fsync(file.fileno())


def parsed(line: str) -> dict[str, Any]:
    """The object of a line. Raises ValueError if it is none, or holds what no file can."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"found {type(record).__name__}")
    json.dumps(record, ensure_ascii=False).encode()
    return record


def texts_of(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """(names and numbers that lead to it, text) of each text in a JSON value."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict | list):
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts_of(one, (*place, str(name)))


def with_texts(value: Any, texts: Iterator[str]) -> Any:
    """A JSON value with the next of these in place of each text."""
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, dict):
        return {name: with_texts(one, texts) for name, one in value.items()}
    return [with_texts(one, texts) for one in value] if isinstance(value, list) else value


def _files(paths: Sequence[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """(file, its name below ``out``) of each.

    Raises:
        UserError: if a path is neither a file nor a folder, there is no file, two have one name, or ``out`` holds one.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        folder = path.is_dir()
        inner = [one for one in files_of(path) if one.suffix.lower() in ENDINGS] if folder else [path]
        if folder and out.resolve() != path.resolve():  # what an earlier call has written is no input
            inner = [one for one in inner if not one.resolve().is_relative_to(out.resolve())]
        for file in inner:
            if not file.is_file():
                raise UserError(f"{file} is neither a file nor a folder")
            name = file.relative_to(path) if folder else Path(file.name)
            name = name.with_suffix(".txt") if file.suffix.lower() == ".pdf" else name
            if found.setdefault(name, file) != file:
                raise UserError(f"{found[name]} and {file} have one name, {name}; mask them into two folders")
            if (out / name).resolve() == file.resolve():
                raise UserError(f"--out {out} holds {file} itself; give another folder")
    if not found:
        raise UserError(f"{paths[0]} holds no {', '.join(ENDINGS)} file; name the files, or a folder that has some")
    yield from ((file, name) for name, file in found.items())


if __name__ == "__main__":
    sys.exit(main())
