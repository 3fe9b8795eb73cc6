"""Small files, written so that a crash leaves the old or the new one, never half of one."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rl.errors import UserError

UNUSABLE = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
"""Errors of paths that can't be written to, or that hold a file instead of a folder, or a folder instead of a file."""


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON to ``path`` in one move; a missing folder is made."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one move; a missing folder is made. What could not be written leaves nothing."""
    with in_one_move(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def in_one_move(path: Path, mark: str = "") -> Iterator[Path]:
    """Within it, a file is written to the path that this gives; then it takes the place of ``path``, whose folder is
    made if it is missing. What could not be written leaves nothing.

    ``mark`` is in the name of what is written, for a file that several processes may write at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}{mark}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


WRITTEN = "as it was written"
RESTORE = "restore it from a copy or remove it"


def read_json(path: Path, shape: Any = Any, fix: str = RESTORE, what: str = WRITTEN) -> Any:
    """Read JSON from ``path``, as it was written.

    Args:
        path: the file.
        shape: the type that pydantic must find in it, strictly, such as a TypedDict.
        fix: what the user can do about a damaged file.
        what: what a file of that shape is.

    Raises:
        UserError: if the file is missing, or does not hold JSON of that shape.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; the folder it belongs to is incomplete") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; correct what stands there, or {fix}") from None
    return parse_json(content, shape, str(path), fix, what)


def parse_json(content: bytes, shape: Any, where: str, fix: str = RESTORE, what: str = WRITTEN) -> Any:
    """JSON of a shape, as :func:`read_json` reads it; ``where`` is where it stands, for the message."""
    try:
        _shape(shape).validate_json(content, strict=True)
        return json.loads(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"]).lstrip(".")
        kind = "damaged" if first["type"] == "json_invalid" else f"not {what}"
        raise UserError(f"{where} is {kind} ({f'{place}: ' * bool(place)}{first['msg']}); {fix}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is damaged ({error}); {fix}") from None


def read_json_lines(path: Path, shape: Any, fix: str, what: str = WRITTEN) -> list[Any]:
    """The lines of a file, as :func:`json_lines`."""
    return list(json_lines(path, shape, fix, what))


def json_lines(path: Path, shape: Any, fix: str, what: str = WRITTEN) -> Iterator[Any]:
    """Read, one after the other, the lines of a file to which another process may be writing; none if there is no file.
    A last line that is not complete is left out.

    Raises:
        UserError: naming file and line, if another line is damaged.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield parse_json(line, shape, f"{path}:{number}", fix, what)


def lines_at(path: Path, numbers: Collection[int]) -> dict[int, Any]:
    """The values of some lines of a file that :func:`json_lines` has read, by their numbers from 0."""
    with path.open("rb") as file:
        return {number: json.loads(line) for number, line in enumerate(file) if number in numbers}


@cache
def _shape(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Shortage:
    """What a machine can run short of."""

    numbers: tuple[int, ...]
    """Of the errors that say so."""
    words: tuple[str, ...]
    """In such errors of libraries."""
    what: str
    """What it is, and what a user can do."""

    def caused(self, error: BaseException) -> bool:
        """Whether an error, or one of its causes, says so."""
        return any(
            (isinstance(one, OSError) and one.errno in self.numbers)
            or any(word in f"{type(one).__name__}: {one}" for word in self.words)
            for one in _causes(error)
        )


FULL_DISK = Shortage((errno.ENOSPC, errno.EDQUOT), ("No space left on device",), "the disk is full; free some space")
OPEN_FILES = Shortage(
    (errno.EMFILE, errno.ENFILE), ("Too many open files",), "too many files are open; raise the limit (ulimit -n)"
)
MEMORY = Shortage(
    (errno.ENOMEM,),
    ("annot allocate memory", "can't allocate memory", "failed to map segment", "MemoryError"),
    "memory is used up; free some",
)


NO_SPACE = 1 << 20
"""Free bytes of a disk that count as none."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one of its causes, says that no space is left."""
    return FULL_DISK.caused(error)


def shortage(error: BaseException) -> str:
    """What a user can do about an error that has come because the machine ran short of something; empty for any other
    error."""
    found = next((one.what for one in (FULL_DISK, OPEN_FILES, MEMORY) if one.caused(error)), "")
    if found == FULL_DISK.what and (full := _full_places()):
        found = f"no space is left in {' and '.join(full)}; free some"
    return f"{found} and run the same command again, which resumes" if found else ""


def _full_places() -> list[str]:
    """Which of the places that are used beside the run folder are full."""
    found = []
    for place in dict.fromkeys(("/dev/shm", tempfile.gettempdir())):
        with suppress(OSError):
            if shutil.disk_usage(place).free < NO_SPACE:
                found.append(place)
    return found


def disk_problem(error: BaseException, numbers: Collection[int] = UNUSABLE, other: str = "run_dir=FOLDER") -> str:
    """What a user can do about an error that a :func:`shortage` has caused, or a file or folder that can't be used (by
    the ``numbers`` of such errors); empty for any other error. The causes of the error are looked at, too. ``other`` is
    how to choose another folder."""
    if found := shortage(error):
        return found
    for one in _causes(error):
        if isinstance(one, OSError) and one.filename and one.errno in numbers:
            return (
                f"{os.fsdecode(one.filename)} can't be used: {one.strerror}; give another folder "
                f"({other}), or correct what stands at that path or its permissions"
            )
        if "Read-only file system" in str(one):  # as libraries say it
            return "the disk of the run folder is read-only; make it writable and run the same command again"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "cause", None) or seen.__cause__
