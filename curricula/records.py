"""The data format: one schema for prompts, demonstrations and corpora, as JSONL or Parquet.

    prompts          {"prompt": "…" or [{"role": …, "content": …}], "reference": "…",
                      "task": "…" (default: name of the file), "answer_kind": choice|article|charge|number|text}
    demonstrations   the same, with "demonstration": the whole completion (``reference`` may be left out)
    corpora          {"text": "…", "source": "…" (default: name of the file)}, or text files of one document each

Other keys are an error. A message about a bad record names file and line (for Parquet: file and row).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from curricula.errors import DataError
from curricula.prompts import AnswerKind, Prompt

RECORDS = (".jsonl", ".parquet")
TEXTS = (*RECORDS, ".txt")
PROMPT_KEYS = {"prompt", "reference", "task", "answer_kind", "demonstration"}


@dataclass(frozen=True)
class Document:
    """A text for next-token training."""

    text: str
    source: str


def read_prompts(path: str | Path) -> list[Prompt]:
    """Prompts with references.

    Raises:
        DataError: for a missing, empty or malformed file, naming the line.
    """
    return [_prompt(record, where, Path(path), ("prompt", "reference")) for where, record in _records(Path(path))]


def read_demonstrations(path: str | Path) -> list[Prompt]:
    """Prompts with demonstrations. Raises as :func:`read_prompts` does."""
    return [_prompt(record, where, Path(path), ("prompt", "demonstration")) for where, record in _records(Path(path))]


def read_texts(path: str | Path, limit: int | None = None) -> list[Document]:
    """The first ``limit`` documents of a corpus: a file of records, a text file (one document), or a folder of these.

    A folder is read with its subfolders, in the order of the paths; hidden files and folders are left out.

    Raises:
        DataError: for a missing, empty or malformed file, naming the line; for a file of another type in a folder.
    """
    found: list[Document] = []
    for file in corpus_files(Path(path)):
        found += islice(_texts(file), None if limit is None else limit - len(found))
        if len(found) == limit:
            break
    return found


def corpus_files(path: Path) -> list[Path]:
    """The files of a corpus, sorted by path: itself, or those of a folder. Raises as :func:`read_texts` does."""
    if not path.is_dir():
        _require_file(path, TEXTS)
        return [path]
    inside = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
    found = [path / name for name in inside if not any(part.startswith(".") for part in name.parts)]
    for file in found:
        if file.suffix not in TEXTS:
            raise DataError(f"{file}: none of {', '.join(TEXTS)}; convert it, or move it out of the corpus folder")
    if not found:
        raise DataError(f"{path}: the folder holds no file; put {', '.join(TEXTS)} there")
    return found


def is_file(name: str) -> bool:
    """Whether a task is given as a file of prompts and not by the name of a generator."""
    return name.endswith((".jsonl", ".parquet"))


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's bytes; of a folder, over the relative path and the SHA-256 of each file of its corpus.

    Raises:
        DataError: if the file is missing, or as :func:`corpus_files` does.
    """
    digests = []
    for part in corpus_files(Path(path)):
        with part.open("rb") as file:
            digests.append((part, hashlib.file_digest(file, "sha256").hexdigest()))
    if not Path(path).is_dir():
        return digests[0][1]
    lines = [f"{part.relative_to(path).as_posix()}\n{digest}\n" for part, digest in digests]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _require_file(path: Path, suffixes: tuple[str, ...] = RECORDS) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix not in suffixes:
        raise DataError(f"{path}: neither {' nor '.join(suffixes)}; convert it to one of them")


def _texts(path: Path) -> Iterator[Document]:
    if path.suffix == ".txt":
        text = _decoded(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), str(path))
        if not text.strip():
            raise DataError(f"{path}: the file holds no text")
        yield Document(text.strip(), path.stem)
        return
    for where, record in _records(path):
        _require(record, where, ("text",), {"text", "source"})
        yield Document(record["text"], str(record.get("source") or path.stem))


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    _require_file(path)
    rows = _parquet(path) if path.suffix == ".parquet" else _jsonl(path)
    empty = True
    for where, record in rows:
        empty = False
        if not isinstance(record, dict):
            raise DataError(f"{where}: expected an object with named fields, found {type(record).__name__}")
        yield where, record
    if empty:
        raise DataError(f"{path}: the file holds no record")


def _jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                yield where, json.loads(_decoded(line, where))
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: not valid JSON: {error.msg} at column {error.colno}") from None


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8") from None


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", {key: value for key, value in record.items() if value is not None}
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None


def _require(record: dict[str, Any], where: str, needed: tuple[str, ...], known: set[str]) -> None:
    for key in needed:
        if key not in record:
            raise DataError(f"{where}: field {key} is missing; found {', '.join(sorted(record)) or 'nothing'}")
    unknown = sorted(set(record) - known)
    if unknown:
        raise DataError(f"{where}: unknown field {unknown[0]}; known fields are {', '.join(sorted(known))}")
    for key in known - {"prompt"}:
        if key in record and not isinstance(record[key], str):
            raise DataError(f"{where}: field {key} must be text, found {type(record[key]).__name__}")
    for key in needed:
        if not record[key]:
            raise DataError(f"{where}: field {key} is empty")


def _prompt(record: dict[str, Any], where: str, path: Path, needed: tuple[str, ...]) -> Prompt:
    _require(record, where, needed, PROMPT_KEYS)
    kind = record.get("answer_kind", "text")
    if kind not in get_args(AnswerKind):
        raise DataError(f"{where}: answer_kind is {kind!r}; use one of {', '.join(get_args(AnswerKind))}")
    messages = record["prompt"]
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    well_formed = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in messages
    )
    if not well_formed:
        raise DataError(f"{where}: prompt must be text or a list of messages with role and content")
    return Prompt(
        task=record.get("task") or path.stem,
        messages=tuple({"role": m["role"], "content": m["content"]} for m in messages),
        reference=record.get("reference", ""),
        answer_kind=kind,
        demonstration=record.get("demonstration"),
    )
