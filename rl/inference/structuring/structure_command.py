"""``python -m rl.inference structure FILES|FOLDER --out FILE.jsonl``: judgments as JSON, one line a file.

python -m rl.inference structure judgments/ --out judgments.jsonl
python -m rl.inference structure judgments/ --out judgments.jsonl --server URL --served-model NAME

A line is {"file", "sha256", "document"} or {"file", "error"}. With a model, which is asked for the elements that the
rules did not find, it also has {"model", "faults"}. Files that an earlier run has done are skipped, unless they changed
or failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cluster.errors import ClusterError
from curricula.command import command, program, resumable
from rl.errors import UserError
from rl.files import digest
from rl.inference.journal import BATCH
from rl.inference.json_lines import JsonLines, write_texts
from rl.inference.model_options import Sized, add_model, identity, open_backend, positive, prompt_room
from rl.inference.structuring.document import structure
from rl.inference.structuring.element_schema import check_document
from rl.inference.structuring.judgment_text import read_text
from rl.inference.structuring.model_elements import complete, missing

SHOWN = 20
"""Most errors, and most faults of a model's answers, that are printed; the file holds all."""
AT_ONCE = 256
"""Documents in one call of the model."""


@dataclass(frozen=True)
class Earlier:
    """A line of an earlier run."""

    line: str
    sha256: str | None
    """Of the file as it was; None for an error."""
    model: str | None
    """The model that completed it."""


@command(UserError, ClusterError, OSError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 when every file is structured, 1 when some failed, 2 when the start or the model failed."""
    chosen = _parser().parse_args(argv)
    with resumable(chosen.out):
        asks = chosen.model or chosen.server or chosen.served_model or chosen.backend
        model = identity(chosen) if asks else None
        files = _files(chosen.paths)
        earlier = _earlier(chosen.out, model)
        lines = _run(chosen, files, earlier, model)
    errors = [line["error"] for line in lines if "error" in line]
    faults = [f"{line['file']}: {fault}" for line in lines for fault in line.get("faults", ())]
    for kind, said in (("error", errors), ("note", faults)):
        for one in said[:SHOWN]:
            print(f"{kind}: {one}", file=sys.stderr)
        if len(said) > SHOWN:
            print(f"… and {len(said) - SHOWN} more, in {chosen.out}", file=sys.stderr)
    print(f"{len(files) - len(errors)} of {len(files)} files structured, in {chosen.out}")
    return 1 if errors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program("rl.inference structure"), description="Judgments as JSON.")
    parser.add_argument("paths", type=Path, nargs="+", help="text files (UTF-8 or GB18030), or folders with .txt files")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file; an existing one is continued")
    add_model(parser)
    parser.add_argument("--max-tokens", type=positive, default=1024, help="of a model's answer (%(default)s)")
    return parser


def _run(
    chosen: argparse.Namespace, files: Sequence[Path], earlier: dict[str, Earlier], model: str | None
) -> list[dict[str, Any]]:
    """Structure the files that are not done yet; returns the new lines. At the end the file has one line a document."""
    todo = [path for path in files if not _done(path, earlier.get(str(path)), model)]
    found: dict[str, dict[str, Any]] = {}
    columns = (TextColumn("structuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    opened: AbstractContextManager[Sized | None] = open_backend(chosen) if model and todo else nullcontext()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    with closing(JsonLines(chosen.out, 1 if model else BATCH)) as out, opened as backend, bar as progress:
        task = progress.add_task("", total=len(files), completed=len(files) - len(todo))

        def keep(line: dict[str, Any]) -> None:
            out.append(line)
            found[line["file"]] = line
            progress.advance(task)

        for start in range(0, len(todo), AT_ONCE):
            texts: dict[str, str] = {}
            lines: dict[str, dict[str, Any]] = {}
            for path in todo[start : start + AT_ONCE]:
                line, text = _line(path)
                if backend is None or "error" in line:
                    keep(line)
                else:
                    texts[line["file"]], lines[line["file"]] = text, line
            if backend is not None and lines:
                _complete(texts, lines, backend, str(model), chosen.max_tokens, keep)
    kept = {name: one.line for name, one in earlier.items()}
    kept |= {name: json.dumps(line, ensure_ascii=False) for name, line in found.items()}
    order = dict.fromkeys([*(str(path) for path in files), *kept])
    write_texts(chosen.out, (kept[name] for name in order))
    return list(found.values())


def _done(path: Path, earlier: Earlier | None, model: str | None) -> bool:
    """Whether an earlier run has structured the present content of the file, with the model if there is one."""
    if earlier is None or earlier.sha256 is None or (model is not None and earlier.model != model):
        return False
    try:
        return digest(path) == earlier.sha256
    except OSError:
        return False


def _line(path: Path) -> tuple[dict[str, Any], str]:
    """(line, text) of a file, by the rules."""
    try:
        found, text = digest(path), read_text(path)
        document = structure(text)
        check_document(document)
    except UserError as error:
        return {"file": str(path), "error": str(error)}, ""
    except Exception as error:  # one document that a rule fails on must not stop the others
        return {"file": str(path), "error": f"{path} can't be structured ({type(error).__name__}: {error})"}, ""
    return {"file": str(path), "sha256": found, "document": document}, text


def _complete(
    texts: Mapping[str, str],
    lines: Mapping[str, dict[str, Any]],
    backend: Sized,
    model: str,
    max_tokens: int,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Ask the model for the elements that the rules did not find. A document without an answer is an error.

    Raises:
        UserError: if the model gives no answer at all.
    """
    documents = {name: line["document"] for name, line in lines.items()}
    waiting = dict(lines)

    def done(name: str, document: dict[str, Any], faults: list[str]) -> None:
        check_document(document)
        keep(waiting.pop(name) | {"document": document, "model": model, "faults": faults})

    try:
        complete(texts, documents, backend, prompt_room(backend, max_tokens), done, max_tokens)
    except UserError as error:
        if all(name in waiting for name in documents if missing(documents[name])):
            raise
        for name in waiting:
            keep({"file": name, "error": f"{name} got no answer from the model: {error}"})


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


def _earlier(out: Path, model: str | None) -> dict[str, Earlier]:
    """The last line of each file in the results of an earlier run; a line cut short is removed.

    Raises:
        UserError: if ``out`` is a file of another kind, or holds documents that another model has completed.
    """
    if not out.exists():
        return {}
    found: dict[str, Earlier] = {}
    lines = out.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            if number == len(lines):  # the last one may be cut short, or nothing
                break
            record = None
        if not isinstance(record, dict) or "file" not in record:
            raise UserError(f"{out}:{number} is not a line of this command; give another --out")
        if model is not None and record.get("model") not in (None, model):
            raise UserError(f"{out}:{number} was completed by {record['model']}, not {model}; give another --out")
        sha256 = record.get("sha256") if "document" in record else None
        found[str(record["file"])] = Earlier(line, sha256, record.get("model"))
    if lines[-1]:
        write_texts(out, lines[:-1])
    return found
