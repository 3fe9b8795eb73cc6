"""One writer at a time in a folder: its ``.lock`` names the process that writes there.

On one machine the kernel's lock on that file decides (flock), which ends with its process. The file also holds the
process, for the message and for machines that share a disk without sharing locks: the holder touches the file every
BEAT_S seconds, and a file of another machine or of an earlier boot that was not touched for GONE_S belongs to nobody.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rl.errors import UserError
from rl.files import UNUSABLE, disk_problem
from rl.records.process import Process, State, parse, same_kernel, this_process

NAME = ".lock"
BEAT_S = 5.0
"""How often the holder shows that it lives (seconds)."""
GONE_S = 30.0
"""A holder on another machine that has not shown this for so long is gone (seconds)."""
PATIENCE_S = 2.0
"""How long to wait for a process that is ending (seconds): a killed one frees its memory before its locks."""


@dataclass(frozen=True)
class Left:
    """A process that has a folder, or had it and ended without releasing it, as one does that is killed."""

    who: str
    """In words."""
    pid: int | None
    host: str | None
    seen: datetime.datetime
    """When it showed last that it lives."""


class FolderLock:
    """The right to write in a folder; use it in a ``with`` statement, or :meth:`release` it."""

    def __init__(self, folder: Path, other: str, notice: Callable[[str], None] = print) -> None:
        """Take a folder, which is made if it is missing.

        Args:
            folder: the folder.
            other: how to choose another folder, such as ``run_dir=FOLDER``, for messages.
            notice: shows a sentence to the user if there is something to wait for.

        Raises:
            UserError: if another process has it, or it can't be written to.
        """
        self.folder, self.path, self.other = folder, folder / NAME, other
        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        record = {"process": this_process().text, "pid": os.getpid(), "host": socket.gethostname(), "since": now}
        self._record = json.dumps(record).encode()
        self.left: Left | None = None
        """The process that had the folder before, if it ended without releasing it."""
        try:
            self._file = self._take(notice)
            found = _read(self.path)
            self.left = None if _holder(found) is None else _left(found, os.fstat(self._file))
            self._write(self._record)
        except OSError as error:
            problem = disk_problem(error, (*UNUSABLE, errno.ENOENT), other)  # ENOENT: a folder that can't be made
            if not problem:
                raise
            raise UserError(problem) from None
        _held.add(self)
        self._released = threading.Event()
        threading.Thread(target=self._beat, args=(BEAT_S,), daemon=True, name="folder lock").start()

    def release(self) -> None:
        """Let others write there."""
        if self._released.is_set():
            return
        self._released.set()
        _held.discard(self)
        with suppress(OSError):  # the folder may have been moved: what was locked is this file, wherever it is
            if os.pread(self._file, len(self._record) + 1, 0) == self._record:
                self._write(b"")
        os.close(self._file)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def _take(self, notice: Callable[[str], None]) -> int:
        """A descriptor of the lock file, locked."""
        until = time.monotonic() + PATIENCE_S
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                locked = _flock(file)
                if locked is not False and os.path.samestat(os.fstat(file), os.lstat(self.path)):
                    self._require_free(locks_work=bool(locked), notice=notice)
                    return file
            except FileNotFoundError:  # the folder was moved away meanwhile
                pass
            except BaseException:
                os.close(file)
                raise
            os.close(file)
            if time.monotonic() > until:
                raise self._taken()
            time.sleep(0.05)

    def _require_free(self, locks_work: bool, notice: Callable[[str], None]) -> None:
        """Refuse the folder if the process that its file names may still write there, though the lock is ours."""
        holder = _holder(_read(self.path))
        if holder is None:
            return
        state = holder.state()
        if same_kernel(holder) and (locks_work or state == "gone"):
            return
        if state == "living" or self._beats(notice):
            raise self._taken()

    def _beats(self, notice: Callable[[str], None]) -> bool:
        """Whether another machine's process touches the file. Times are those of the file system, as clocks differ."""
        first = self.path.stat().st_mtime
        with tempfile.TemporaryFile(dir=self.folder) as probe:
            age = os.fstat(probe.fileno()).st_mtime - first
        if age > GONE_S:
            return False
        until = time.monotonic() + GONE_S - max(0.0, age)
        notice(
            f"{self.folder} was in use until {max(0.0, age):.0f} s ago by {_who(_read(self.path))}; waiting up to "
            f"{GONE_S - max(0.0, age):.0f} s to see whether that process is gone"
        )
        while time.monotonic() < until:
            time.sleep(min(1.0, BEAT_S / 2))
            if self.path.stat().st_mtime != first:
                return True
        return False

    def _taken(self) -> UserError:
        return UserError(
            f"{self.folder} is being written by another process ({_who(_read(self.path))}); wait for it or end it, or "
            f"give another folder ({self.other})"
        )

    def _beat(self, every_s: float) -> None:
        """Touch the file. A process that was frozen for long may find that another machine's has the folder now: it
        ends itself, before both write."""
        while not self._released.wait(every_s):
            found = _read(self.path)
            if found == self._record:
                with suppress(OSError):
                    os.utime(self._file)
            elif _holder(found) is not None and not self._released.is_set():
                print(
                    f"error: {self.folder} was taken over by {_who(found)}, because this process showed no sign of "
                    f"life for {GONE_S:.0f} s; it ends here",
                    file=sys.stderr,
                    flush=True,
                )
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _write(self, record: bytes) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, record, 0)
        os.fsync(self._file)


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _forget() -> None:
    """A forked child has the parent's descriptors, which would keep a folder locked after the parent's death."""
    for lock in list(_held):
        os.close(lock._file)
        lock._released.set()
    _held.clear()


os.register_at_fork(after_in_child=_forget)


def holder_of(folder: Path) -> tuple[Left | None, State | None]:
    """The process that a folder's lock names, and whether it runs; nothing where a folder was released."""
    path = folder / NAME
    found = _read(path)
    holder = _holder(found)
    return (None, None) if holder is None else (_left(found, path.stat()), holder.state())


def _left(record: bytes, found: os.stat_result) -> Left:
    pid, host = _fields(record).get("pid"), _fields(record).get("host")
    seen = datetime.datetime.fromtimestamp(found.st_mtime).astimezone()
    return Left(_who(record), pid if type(pid) is int else None, host if isinstance(host, str) else None, seen)


def _flock(file: int) -> bool | None:
    """Whether the kernel's lock was free and is ours now; None if the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL):
            return None
        raise


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _fields(record: bytes) -> dict[str, Any]:
    try:
        found = json.loads(record)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(record: bytes) -> Process | None:
    return parse(str(_fields(record).get("process")))


def _who(record: bytes) -> str:
    """The process of a record, in words."""
    found = _fields(record)
    if _holder(record) is None:
        return f"which has not written its name to {NAME}"
    return f"pid {found.get('pid')} on host {found.get('host')}, since {found.get('since')}"
