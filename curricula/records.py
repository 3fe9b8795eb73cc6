"""The data format: one schema for prompts, demonstrations and corpora, as JSONL or Parquet.

    prompts          {"prompt": "…" or [{"role": …, "content": …}], "reference": "…",
                      "task": "…" (default: name of the file), "answer_kind": choice|article|charge|number|text}
    demonstrations   the same, with "demonstration": the whole completion (``reference`` may be left out)
    corpora          {"text": "…", "source": "…" (default: name of the file)}

Other keys are an error. A message about a bad record names file and line (for Parquet: file and row).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from curricula.errors import DataError
from curricula.prompts import AnswerKind, Prompt

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


def read_texts(path: str | Path) -> list[Document]:
    """Documents of a corpus. Raises as :func:`read_prompts` does."""
    found = []
    for where, record in _records(Path(path)):
        _require(record, where, ("text",), {"text", "source"})
        found.append(Document(record["text"], str(record.get("source") or Path(path).stem)))
    return found


def is_file(name: str) -> bool:
    """Whether a task is given as a file of prompts and not by the name of a generator."""
    return name.endswith((".jsonl", ".parquet"))


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        DataError: if the file is missing.
    """
    _require_file(Path(path))
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix not in (".jsonl", ".parquet"):
        raise DataError(f"{path}: neither .jsonl nor .parquet; convert it to one of them")


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
                yield where, json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{where}: not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8"
                ) from None
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: not valid JSON: {error.msg} at column {error.colno}") from None


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None
    for number, record in enumerate(table.to_pylist(), start=1):
        yield f"{path} row {number}", {key: value for key, value in record.items() if value is not None}


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
