"""``python -m rl.inference structure FILES|FOLDER --out FILE.jsonl``: judgments as JSON, one line a file.

A line is {"file", "sha256", "document"} or {"file", "error"}. What an earlier run has done is not done again, unless
the file has changed or failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rl.errors import UserError
from rl.files import digest
from rl.inference.structuring.document import structure
from rl.inference.structuring.elements import check_document
from rl.inference.structuring.text import read_text

SHOWN = 20
"""Errors that are printed; all of them are in the file."""


def main(argv: Sequence[str] | None = None) -> int:
    """0 when every file is structured, 1 when some could not be, 2 when nothing could be begun."""
    parser = argparse.ArgumentParser(prog="python -m rl.inference structure", description="Judgments as JSON.")
    parser.add_argument("paths", type=Path, nargs="+", help="text files (UTF-8 or GB18030), or folders with .txt files")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file; an earlier one is gone on with")
    chosen = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        files = _files(chosen.paths)
        done = _resume(chosen.out)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    errors: list[str] = []
    columns = (TextColumn("structuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with chosen.out.open("a", encoding="utf-8") as out, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(files))
        for path in files:
            line = _line(path, done)
            if line is not None:
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
                out.flush()
                errors += [line["error"]] if "error" in line else []
            progress.advance(task)
    for said in errors[:SHOWN]:
        print(f"error: {said}", file=sys.stderr)
    if len(errors) > SHOWN:
        print(f"… and {len(errors) - SHOWN} more, in {chosen.out}", file=sys.stderr)
    print(f"{len(files) - len(errors)} of {len(files)} files structured, in {chosen.out}")
    return 1 if errors else 0


def _line(path: Path, done: dict[str, str]) -> dict[str, Any] | None:
    """The line of a file; None if an earlier run has it."""
    try:
        found = digest(path)
        if done.get(str(path)) == found:
            return None
        document = structure(read_text(path))
        check_document(document)
    except UserError as error:
        return {"file": str(path), "error": str(error)}
    except Exception as error:  # a batch goes on after a document that trips a rule
        return {"file": str(path), "error": f"{path} can't be structured ({type(error).__name__}: {error})"}
    return {"file": str(path), "sha256": found, "document": document}


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*.txt") if p.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path} is neither a file nor a folder")
    if not found:
        raise UserError(f"{paths[0]} holds no .txt file; name the files, or a folder that has some")
    return list(dict.fromkeys(found))


def _resume(out: Path) -> dict[str, str]:
    """SHA-256 of the files that an earlier run has done; its errors and a line cut short are taken out.

    Raises:
        UserError: if ``out`` is a file of another kind.
    """
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        return {}
    kept: dict[str, str] = {}
    done: dict[str, str] = {}
    lines = out.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = {"file": ""} if number == len(lines) else None  # the last one may be cut short, or nothing
        if not isinstance(record, dict) or "file" not in record:
            raise UserError(f"{out}:{number} is not a line of this command; give another --out")
        if "document" in record and isinstance(record.get("sha256"), str):
            kept[str(record["file"])] = line
            done[str(record["file"])] = record["sha256"]
    partial = out.with_name(f"{out.name}.partial")
    partial.write_text("".join(line + "\n" for line in kept.values()), encoding="utf-8")
    os.replace(partial, out)
    return done
