"""The data format: one schema for prompts, demonstrations and corpora, as JSONL or Parquet.

    prompts          {"prompt": "…" or [{"role": …, "content": …}], "reference": "…" or ["…", …],
                      "task": "…" (default: name of the file), "answer_kind": choice|article|charge|number|text}
    demonstrations   the same, with "demonstration": the whole completion (``reference`` may be left out)
    corpora          {"text": "…", "source": "…" (default: name of the file)}, or text files of one document each

Each record may have ``meta``, an object that holds anything known about it (:mod:`curricula.meta`). A field that is
null counts as left out; other fields are an error. Messages are checked as
:func:`curricula.messages.read_messages` says. A list of texts as reference is kept as its JSON text, which the rewards
parse; a number is an error, because 2 and 2.0 are not the same text.

Files are UTF-8; a byte order mark is skipped, lines end with LF or CRLF. A record is refused if it is not strict
JSON (NaN, a key twice), or holds half of a surrogate pair or a NUL character. The index column that pandas writes to
Parquet (``__index_level_0__``) is ignored. verl's columns are read as well: ``data_source`` as the task and
``reward_model.ground_truth`` as the reference. Its ``reward_model.style``, ``ability`` and ``extra_info`` are ignored,
because rewards belong to the stage.

A message about bad records names file and line (for Parquet: file and row) of the first ones and counts all of them.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from curricula.errors import DataError
from curricula.messages import read_messages
from curricula.meta import Meta, read_meta
from curricula.prompts import AnswerKind, Prompt
from curricula.rows import (
    RECORDS,
    TEXTS,
    Record,
    checked,
    each_record,
    kind_of,
    opened,
    read_text,
    require_file,
    require_name,
    shown,
)

DOCUMENT_KEYS = {"text", "source", "meta"}
VERL_KEYS = {"data_source", "reward_model", "ability", "extra_info"}
KINDS = get_args(AnswerKind)
Needed = Literal["reference", "demonstration"]
"""The field that a prompt must have: for rewards, or to be trained on."""
PROMPT_KEYS = {"prompt", "reference", "task", "answer_kind", "demonstration", "meta"}


@dataclass(frozen=True)
class Document:
    """A text for next-token training."""

    text: str
    source: str
    meta: Meta = field(default_factory=dict, compare=False)
    """What is known about it; nothing is computed from it."""


def read_prompts(path: str | Path) -> list[Prompt]:
    """Prompts with references.

    Raises:
        DataError: for a missing, empty or malformed file, naming the line.
    """
    return list(each_prompt(path))


def each_prompt(path: str | Path, needed: Needed = "reference") -> Iterator[Prompt]:
    """As :func:`read_prompts` or :func:`read_demonstrations`, one by one. Raises as they do, at the file's end."""
    stem = Path(path).stem
    return each_record(Path(path), lambda record, where: prompt_of(record, where, stem, needed))


def read_demonstrations(path: str | Path) -> list[Prompt]:
    """Prompts with demonstrations. Raises as :func:`read_prompts` does."""
    return list(each_prompt(path, "demonstration"))


def read_texts(path: str | Path, limit: int | None = None) -> list[Document]:
    """The first ``limit`` documents of a corpus: a file of records, a text file (one document), or a folder of these.

    A folder is read with its subfolders, in the order of the paths; hidden files and folders are left out.

    Raises:
        DataError: for a missing, empty or malformed file, naming the line; for a file of another type in a folder.
    """
    return list(each_text(path, limit))


def each_text(path: str | Path, limit: int | None = None) -> Iterator[Document]:
    """As :func:`read_texts`, one by one, so that not all are in memory. Raises as it does, at a bad file's end."""
    left = limit
    for file in corpus_files(Path(path)):
        for document in _documents(file, left):
            yield document
            left = None if left is None else left - 1
        if left == 0:
            break


def corpus_files(path: Path) -> list[Path]:
    """The files of a corpus, sorted by path: itself, or those of a folder. Raises as :func:`read_texts` does."""
    if not path.is_dir():
        require_file(path, TEXTS)
        return [path]
    inside = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
    found = [path / name for name in inside if not any(part.startswith(".") for part in name.parts)]
    for file in found:
        require_name(file)
        if kind_of(file) not in TEXTS:
            raise DataError(f"{file}: none of {', '.join(TEXTS)}; convert it, or move it out of the corpus folder")
    if not found:
        raise DataError(f"{path}: the folder holds no file; put {', '.join(TEXTS)} there")
    return found


def is_file(name: str) -> bool:
    """Whether a task is a file of prompts rather than the name of a generator."""
    return kind_of(Path(name)) in RECORDS


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's bytes; of a folder, over the relative path and the SHA-256 of each file of its corpus.

    Raises:
        DataError: if the file is missing, or as :func:`corpus_files` does.
    """
    digests = []
    for part in corpus_files(Path(path)):
        with opened(part) as file:
            digests.append((part, hashlib.file_digest(file, "sha256").hexdigest()))
    if not Path(path).is_dir():
        return digests[0][1]
    lines = [f"{part.relative_to(path).as_posix()}\n{digest}\n" for part, digest in digests]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _documents(path: Path, limit: int | None) -> Iterator[Document]:
    if kind_of(path) != ".txt":
        yield from each_record(path, lambda record, where: _document(record, where, path), limit)
        return
    text = read_text(path).strip()
    if not text:
        raise DataError(f"{path}: the file holds no text")
    yield Document(text, path.stem)


def _document(record: Record, where: str, path: Path) -> Document:
    _require(record, where, ("text",), DOCUMENT_KEYS)
    return Document(record["text"], record.get("source") or path.stem, _meta(record, where))


def prompt_of(record: Record, where: str, task: str, needed: Needed) -> Prompt:
    """The prompt of a record; ``task`` is that of a record which names none. Raises DataError."""
    record = _without_verl(record, where)
    if isinstance(record.get("reference"), list):
        record["reference"] = _as_json(record["reference"], where)
    _require(record, where, ("prompt", needed), PROMPT_KEYS)
    kind = record.get("answer_kind", "text")
    if kind not in KINDS:
        raise DataError(f"{where}: answer_kind is {kind!r}; use one of {', '.join(KINDS)}")
    task = record.get("task") or task
    if not task.isprintable():
        raise DataError(f"{where}: the task {task!r} has characters that no table can show; give it a plain name")
    return Prompt(
        task=task,
        messages=read_messages(record["prompt"], where),
        reference=record.get("reference", ""),
        answer_kind=kind,
        demonstration=record.get("demonstration"),
        meta=_meta(record, where),
        where=where,
    )


def _meta(record: Record, where: str) -> Meta:
    return read_meta(record["meta"], f"{where}: field meta") if "meta" in record else {}


def _without_verl(record: Record, where: str) -> Record:
    """A record in verl's format as one of ours."""
    if not record.keys() & {"data_source", "reward_model"}:
        return record
    found = {key: value for key, value in record.items() if key not in VERL_KEYS}
    model = record.get("reward_model")
    truth = model.get("ground_truth") if isinstance(model, dict) else model
    for ours, theirs, value in (
        ("task", "data_source", record.get("data_source")),
        ("reference", "reward_model.ground_truth", truth),
    ):
        if value is None:
            continue
        if ours in found:
            raise DataError(f"{where}: has both {ours} and verl's {theirs}; keep one of them")
        found[ours] = value
    return found


def _as_json(reference: list[Any], where: str) -> str:
    if not reference:
        raise DataError(f"{where}: field reference is empty")
    texts = [checked(one, f"{where}: entry {n} of reference") for n, one in enumerate(reference, start=1)]
    return json.dumps(texts, ensure_ascii=False)


def _require(record: Record, where: str, needed: tuple[str, ...], known: set[str]) -> None:
    for key in needed:
        if key not in record:
            raise DataError(
                f"{where}: field {key} is missing; found {', '.join(map(shown, sorted(record))) or 'nothing'}"
            )
    unknown = sorted(set(record) - known)
    if unknown:
        raise DataError(f"{where}: unknown field {shown(unknown[0])}; known fields are {', '.join(sorted(known))}")
    for key in sorted(known & set(record) - {"prompt", "meta"}):
        checked(record[key], f"{where}: field {key}", empty=key not in needed, blank=key not in needed or key == "text")
