"""Answers on the disk as they arrive: append-only files from which an interrupted run continues, record by record."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from operator import eq
from pathlib import Path
from typing import Annotated, Any, NotRequired

from annotated_types import MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from rl.errors import UserError
from rl.files import in_one_move, read_json, write_json
from rl.inference.backend import Answer, Ask, Backend, Messages, RefusedAnswer, SampledAnswer
from rl.inference.json_lines import JsonLines, placed_lines
from rl.language import Text
from rl.records.lock import FolderLock

BATCH = 32
"""Answers written at once. A process that is killed loses no more than these and those being generated."""

PART = 4_096
"""Asks that a backend gets at once, at most: it holds the tokens of their prompts, and engines run empty between two
parts."""


def digest_of(ask: Ask, bound: str | None = None) -> str:
    """16 hexadecimal digits of what is asked: messages and sampling, and what else the answer is ``bound`` to."""
    content = {name: value for name, value in asdict(ask).items() if name != "key"}
    content |= {} if bound is None else {"bound": bound}
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


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


class AnswerFile:
    """A file of a journal, and where in it the answer to each question stands: 0.2 kB of memory an answer."""

    def __init__(self, out: JsonLines, notice: Callable[[str], None], forgiving: bool) -> None:
        """Read the file. ``forgiving`` leaves lines without answers out; without it the file is the user's.

        Raises:
            UserError: for a damaged line.
        """
        self.out = out
        self.asked: list[str] = []
        """Keys since the file was last settled, in the order of the asks."""
        self.settled: list[str] = []
        """Those of the last time that it was."""
        self.places: dict[str, int] = {}
        """First byte of each answer, by key, in the order of the file."""
        self._lines = damaged = 0
        for place, record in placed_lines(out.path, notice):
            self._lines += 1
            try:
                _RECORD.validate_python(record, strict=True)
                self._note(record["key"], place)
            except ValidationError as error:
                damaged += 1
                if not forgiving:
                    problem = error.errors(include_url=False, include_input=False)[0]
                    where = ".".join(map(str, problem["loc"]))
                    raise UserError(
                        f"{out.path}, line {self._lines} holds no answers ({where}: {problem['msg']}); remove the "
                        f"line, and its content is made again"
                    ) from None
        if damaged:
            notice(Text("{path}: {n} damaged records are made again", path=out.path, n=damaged))

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a key, if there is one and it is on the disk."""
        if key not in self.places:
            return None
        with self.out.path.open("rb") as file:
            file.seek(self.places[key])
            found: dict[str, Any] = json.loads(file.readline())
            return found

    def add(self, record: dict[str, Any]) -> None:
        """Append a record, which replaces an earlier one of its key."""
        self._lines += 1
        self._note(record["key"], self.out.append(record))

    def _note(self, key: str, place: int) -> None:
        self.places.pop(key, None)
        self.places[key] = place

    def keep(self, wanted: Container[str]) -> None:
        """Remove all other records."""
        self.rewrite([key for key in self.places if key in wanted])

    def rewrite(self, order: Sequence[str]) -> None:
        """Have the file hold the records of these keys alone, in this order."""
        if self._lines == len(order) and all(map(eq, self.places, order)):
            return
        places = {}
        with in_one_move(self.out.path) as partial, partial.open("wb") as new, self.out.path.open("rb") as old:
            for key in order:
                old.seek(self.places[key])
                places[key] = new.tell()
                new.write(old.readline())
            new.flush()
            os.fsync(new.fileno())
        self.places, self._lines = places, len(places)


class Answered(Mapping[str, list[Answer]]):
    """The answers to the questions that a file was last settled for, read from the disk when they are asked for."""

    def __init__(self, name: str, file: AnswerFile) -> None:
        self._name, self._file, self._keys = name, file, dict.fromkeys(file.settled)

    def __getitem__(self, question: str) -> list[Answer]:
        key = f"{self._name}/{question}"
        record = self._file.get(key) if key in self._keys else None
        if record is None:
            raise KeyError(question)
        return [_read_answer(answer) for answer in record["answers"]]

    def __contains__(self, question: object) -> bool:
        return f"{self._name}/{question}" in self._keys

    def __iter__(self) -> Iterator[str]:
        return (key.partition("/")[2] for key in self._keys)

    def __len__(self) -> int:
        return len(self._keys)


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
        self._files: dict[str, AnswerFile] = {}
        self._unwritten = 0

    def generate(self, asks: Iterable[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """As a backend's; known answers come first. In the end every file is in the order of the asks.

        Without ``bound`` the asks are made and asked by parts, so that not all are in memory.

        Raises:
            UserError: if a file holds another question or other sampling under the same key, or from the backend.
        """
        names: dict[str, None] = {}
        left = iter(asks)
        while some := list(islice(left, PART if self.bound is None else None)):
            for name in dict.fromkeys(_file_of(ask.key) for ask in some):
                if name not in names:
                    names[name], self._file(name).asked = None, []
            if self.bound is not None:
                known = {ask.key for ask in some if self._answer(ask)}
                for name in names:
                    self._file(name).keep(() if self.together and len(known) < len(some) else known)
            self.part(some, done)
        for name in names:
            self.settle(name)

    def answers(self, name: str) -> Mapping[str, list[Answer]]:
        """The answers to the questions that a file was last settled for, by the question; they stay on the disk."""
        return Answered(name, self._files[name]) if name in self._files else {}

    def part(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """A part of the asks of a file, as :meth:`generate`; :meth:`settle` follows the last part."""
        missing = []
        for ask in asks:
            self._file(_file_of(ask.key)).asked.append(ask.key)
            found = self._answer(ask)
            if found is None:
                missing.append(ask)
            else:
                done(ask, [_read_answer(answer) for answer in found["answers"]])
        self.reused += len(asks) - len(missing)

        def keep(ask: Ask, answers: list[Answer]) -> None:
            record = {
                "key": ask.key,
                "asked": digest_of(ask, self.bound),
                "prompt": ask.messages[-1][1],
                "answers": [asdict(answer) for answer in answers],
            }
            self._add(_file_of(ask.key), record)
            done(ask, answers)

        try:
            if missing:
                self.backend.generate(missing, keep)
        finally:
            self._flush()

    def settle(self, name: str) -> None:
        """Put a complete file in the order of the asks, however its answers arrived. Other records follow; a bound
        journal removes them."""
        if name not in self._files:  # nothing was asked
            return
        file = self._files[name]
        asked, file.asked = file.asked, []
        file.settled = asked
        others = [] if self.bound is not None else file.places.keys() - set(asked)
        file.rewrite([*asked, *(key for key in file.places if key in others)])

    def count_tokens(self, messages: Messages) -> int:
        """As the backend's."""
        return self.backend.count_tokens(messages)

    def close(self) -> None:
        """Close the backend."""
        self.backend.close()

    def _answer(self, ask: Ask) -> dict[str, Any] | None:
        """The record that answers an ask. Raises UserError for one that was asked otherwise."""
        record = self._file(_file_of(ask.key)).get(ask.key)
        if record is None or record.get("asked") == digest_of(ask, self.bound):
            return record
        if self.bound is None:
            raise UserError(
                f"{self.folder} holds an answer to {ask.key} that was asked with another prompt or other sampling "
                f"(seed, samples, temperature, top_p, max_tokens); ask as before, or give another --out"
            )
        return None

    def _file(self, name: str) -> AnswerFile:
        if name not in self._files:
            out = JsonLines(self.folder / f"{name}.jsonl", self.batch, self.at_once)
            self._files[name] = AnswerFile(out, self.notice, self.bound is not None)
        return self._files[name]

    def _add(self, name: str, record: dict[str, Any]) -> None:
        """Note a record. A batch is counted over all files, so that a kill costs one batch and not one of each file."""
        self._file(name).add(record)
        self._unwritten += 1
        if self._unwritten >= self.batch:
            self._flush()

    def _flush(self) -> None:
        for file in self._files.values():
            file.out.flush()
        self._unwritten = 0


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
        self._manifest = folder / "manifest.json"
        self.new = not self._manifest.is_file()
        """Whether this call begins it."""
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

    def forget(self) -> None:
        """Take back that the folder has begun, because nothing was made: its settings may be corrected."""
        self._manifest.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the folder."""
        self._lock.release()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
