"""Answers on the disk as they arrive: append-only files from which an interrupted run continues, record by record."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NotRequired

from annotated_types import MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from rl.errors import UserError
from rl.files import in_one_move, read_json, write_json
from rl.inference.backend import Answer, Ask, Backend, Messages, RefusedAnswer, SampledAnswer
from rl.records.lock import FolderLock

BATCH = 32
"""Answers written at once. A process that is killed loses no more than these and those being generated."""


def digest_of(ask: Ask, bound: str | None = None) -> str:
    """16 hexadecimal digits of what is asked: messages and sampling, and what else the answer is ``bound`` to."""
    content = {name: value for name, value in asdict(ask).items() if name != "key"}
    content |= {} if bound is None else {"bound": bound}
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


def read_lines(path: Path, notice: Callable[[str], None]) -> list[dict[str, Any]]:
    """The records of a file of JSON lines. A half-written last line is cut off, with a notice.

    Raises:
        UserError: naming file and line, if another line is damaged.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        notice(f"{path}: the last line was half written and is dropped ({len(content) - end} bytes)")
        os.truncate(path, end)
    records = []
    for number, line in enumerate(content[:end].splitlines(), 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(f"found {type(record).__name__}")
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path}, line {number} is no JSON object ({error}); remove the line, and its content is made again"
            ) from None
        records.append(record)
    return records


class JsonLines:
    """A file to which JSON lines are appended in batches; each batch is synced to the disk."""

    def __init__(self, path: Path, batch: int, at_once: bool = False) -> None:
        """``at_once`` writes each line as it comes, which the end of the process does not undo, and syncs by batches,
        so that the end of the machine undoes one batch."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.batch, self.at_once = path, batch, at_once
        self._pending: list[str] = []

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; it is on the disk when its batch is full, or after :meth:`flush`."""
        self._pending.append(json.dumps(record, ensure_ascii=False))
        if self.at_once:
            with self.path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(self._pending[-1] + "\n")
        if len(self._pending) >= self.batch:
            self.flush()

    def flush(self) -> None:
        """Write the pending records."""
        if not self._pending:
            return
        with self.path.open("a", encoding="utf-8", errors="replace") as file:
            if not self.at_once:
                file.write("\n".join(self._pending) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._pending.clear()

    def close(self) -> None:
        """Write the pending records; for ``contextlib.closing``."""
        self.flush()


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write a whole file of JSON lines in one move."""
    write_texts(path, (json.dumps(record, ensure_ascii=False) for record in records))


def write_texts(path: Path, lines: Iterable[str]) -> None:
    """Write a whole file of lines in one move."""
    with in_one_move(path) as partial, partial.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(line + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())


class _Answer(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    text: str
    thinking: NotRequired[str]
    completion_tokens: NotRequired[int]
    prompt_tokens: NotRequired[int]
    truncated: NotRequired[bool]
    token_ids: NotRequired[list[int]]
    log_probs: NotRequired[list[float]]
    refused: NotRequired[str]


class Record(TypedDict):
    """A line of a journal."""

    key: str
    asked: NotRequired[str]
    prompt: str
    answers: Annotated[list[_Answer], MinLen(1)]


_RECORD = TypeAdapter(Record)


class Journal:
    """A backend that keeps its answers in a folder: what has been answered is not asked again.

    The key of an ask is ``file/question``. Each file is ``<folder>/<file>.jsonl``, with a line for each ask: ``key``,
    ``asked`` (the digest of messages and sampling), ``prompt`` (the user's last message) and ``answers``.
    """

    def __init__(
        self,
        backend: Backend,
        folder: Path,
        batch: int = BATCH,
        notice: Callable[[str], None] = lambda text: None,
        bound: str | None = None,
        together: bool = False,
        at_once: bool = False,
    ) -> None:
        """
        Args:
            backend: what is asked.
            folder: where the answers are kept.
            batch: answers written at once.
            notice: shows a sentence to the user.
            bound: a digest of what else the answers depend on, such as the weights. With it, answers that were asked
                otherwise are removed and asked again. Without it the folder is the user's, and they are refused.
            together: the answers of one call were drawn from one seed, so that they are used only if all are there.
            at_once: a process that is killed loses no answer that has come; see JsonLines.
        """
        self.backend, self.folder, self.batch, self.notice = backend, folder, batch, notice
        self.bound, self.together, self.at_once = bound, together, at_once
        self.reused = 0
        """Asks that the folder had an answer to."""
        self._known: dict[str, dict[str, dict[str, Any]]] = {}
        self._files: dict[str, JsonLines] = {}
        self._unwritten = 0

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """As a backend's; known answers come first. In the end every file is in the order of the asks.

        Raises:
            UserError: if a file holds another question or other sampling under the same key, or from the backend.
        """
        names = list(dict.fromkeys(_file_of(ask.key) for ask in asks))
        known = self._answered(asks)
        if self.together and len(known) < len(asks):
            known = {}
        if self.bound is not None:
            for name in names:
                self._keep(name, known)
        for ask in asks:
            if ask.key in known:
                done(ask, [_read_answer(answer) for answer in known[ask.key]["answers"]])
        self.reused += len(known)

        def keep(ask: Ask, answers: list[Answer]) -> None:
            record = {
                "key": ask.key,
                "asked": digest_of(ask, self.bound),
                "prompt": ask.messages[-1][1],
                "answers": [asdict(answer) for answer in answers],
            }
            self._add(_file_of(ask.key), record)
            done(ask, answers)

        missing = [ask for ask in asks if ask.key not in known]
        try:
            if missing:
                self.backend.generate(missing, keep)
        finally:
            self._flush()
        for name in names:
            self._settle(name, [ask.key for ask in asks if ask.key.startswith(f"{name}/")])

    def count_tokens(self, messages: Messages) -> int:
        """As the backend's."""
        return self.backend.count_tokens(messages)

    def close(self) -> None:
        """Close the backend."""
        self.backend.close()

    def _answered(self, asks: Sequence[Ask]) -> dict[str, dict[str, Any]]:
        """The records that answer the asks, by key. Raises UserError for one that was asked otherwise."""
        found = {}
        for ask in asks:
            record = self._records(_file_of(ask.key)).get(ask.key)
            if record is None:
                continue
            if record.get("asked") == digest_of(ask, self.bound):
                found[ask.key] = record
            elif self.bound is None:
                raise UserError(
                    f"{self.folder} holds an answer to {ask.key} that was asked with another prompt or other sampling "
                    f"(seed, samples, temperature, top_p, max_tokens); ask as before, or give another --out"
                )
        return found

    def _records(self, name: str) -> dict[str, dict[str, Any]]:
        if name not in self._known:
            path = self._path(name)
            self._known[name] = {record["key"]: record for record in self._fit(path, read_lines(path, self.notice))}
        return self._known[name]

    def _fit(self, path: Path, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Records that hold answers. A bound journal asks the others again; one that is the user's refuses them."""
        fit = []
        for number, record in enumerate(records, 1):
            try:
                _RECORD.validate_python(record, strict=True)
                fit.append(record)
            except ValidationError as error:
                if self.bound is None:
                    problem = error.errors(include_url=False, include_input=False)[0]
                    place = ".".join(map(str, problem["loc"]))
                    raise UserError(
                        f"{path}, line {number} holds no answers ({place}: {problem['msg']}); remove the line, and its "
                        f"content is made again"
                    ) from None
        if len(fit) < len(records):
            self.notice(f"{path}: {len(records) - len(fit)} damaged records are made again")
        return fit

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _add(self, name: str, record: dict[str, Any]) -> None:
        """Note a record. A batch is counted over all files, so that a kill costs one batch and not one of each file."""
        self._known[name][record["key"]] = record
        self._files.setdefault(name, JsonLines(self._path(name), self.batch, self.at_once)).append(record)
        self._unwritten += 1
        if self._unwritten >= self.batch:
            self._flush()

    def _flush(self) -> None:
        for file in self._files.values():
            file.flush()
        self._unwritten = 0

    def _keep(self, name: str, wanted: Container[str]) -> None:
        """Remove all other records from a file."""
        records = self._records(name)
        kept = {key: record for key, record in records.items() if key in wanted}
        if len(kept) < len(records):
            write_lines(self._path(name), kept.values())
            self._known[name] = kept

    def _settle(self, name: str, keys: Sequence[str]) -> None:
        """Put a complete file in the order of the asks, however its answers arrived; other records follow."""
        records = self._known[name]
        asked = set(keys)
        order = [*keys, *(key for key in records if key not in asked)]
        if list(records) != order:
            write_lines(self._path(name), [records[key] for key in order])
            self._known[name] = {key: records[key] for key in order}


def _file_of(key: str) -> str:
    return key.partition("/")[0]


def _read_answer(fields: dict[str, Any]) -> Answer:
    kind = SampledAnswer if "token_ids" in fields else RefusedAnswer if "refused" in fields else Answer
    return kind(**fields)


class Opened(TypedDict):
    """What the manifest of a results folder holds, beside the settings."""

    date: NotRequired[datetime.date]
    as_of: NotRequired[str | None]


class OpenFolder:
    """A results folder that only this process uses; its manifest holds the settings and the day on which it began."""

    def __init__(self, folder: Path, asked: dict[str, Any], other: str = "--out FOLDER") -> None:
        """Open a new folder, or continue an earlier one with the same settings.

        Args:
            folder: the folder.
            asked: the settings.
            other: how to choose another folder, for messages.

        Raises:
            UserError: if another process uses it, or if it holds answers of other settings.
        """
        self._lock = FolderLock(folder, other)
        try:
            self.date = self._begun(folder, asked, other)
            """The day that chat templates take for today, the same in every call with this folder."""
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _begun(folder: Path, asked: dict[str, Any], other: str) -> datetime.date:
        path = folder / "manifest.json"
        before = read_json(path, Opened) if path.is_file() else asked
        for name, value in asked.items():
            if before.get(name) != value:
                raise UserError(
                    f"{folder} holds answers with {name}={_shown(before.get(name))}, and now {name}={_shown(value)} is "
                    f"asked for; ask as before to go on, or give another {other.split()[0]}"
                )
        if "date" not in before:
            before = before | {"date": datetime.date.today().isoformat()}
            write_json(path, before)
        return datetime.date.fromisoformat(before["date"])

    def close(self) -> None:
        """Release the folder."""
        self._lock.release()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
