"""The files through which weights go from trainer to rollout: their names, and the end of each of them.

A name holds the run folder and the process that drives the run, so that what a killed run has left can be told from
what a living one needs. Shared memory is open to every user of a machine: only files of this user are touched, links
that somebody has planted are neither followed nor written through.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rl.errors import UserError
from rl.records.process import PATTERN, Process, parse, this_process

SHARED_MEMORY = Path("/dev/shm")
_NAME = re.compile(rf"themis-([0-9a-f]{{12}})-({PATTERN})\.(safetensors|partial|adapter-[0-9]{{1,18}})")
_VERSION = re.compile(r"\.adapter-([0-9]{1,18})")


@dataclass(frozen=True)
class Left:
    """A file or folder on the way of some run's weights."""

    path: Path
    run: str
    """:func:`run_id` of the run folder."""
    process: Process
    """The process that drives the run, or drove it."""

    @property
    def bytes(self) -> int:
        """Its size."""
        files = [self.path, *self.path.rglob("*")] if self.path.is_dir() else [self.path]
        return sum(size(file) for file in files)

    def remove(self) -> None:
        """Remove it."""
        remove(self.path)


def run_id(run_dir: Path) -> str:
    """12 hexadecimal digits of a run folder: of its path and of the folder itself, as containers may share shared
    memory and have different folders at the same path."""
    path = run_dir.resolve()
    try:
        found = path.stat()
        place = f"{path}\n{found.st_dev}\n{found.st_ino}"
    except OSError:
        place = str(path)
    return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:12]


def shared_file(run_dir: Path) -> Path:
    """The file through which this process's run sends its weights, in shared memory if the machine has it."""
    base = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    return base / f"themis-{run_id(run_dir)}-{this_process().text}.safetensors"


def places(shared: Path) -> list[Path]:
    """Where a shared file may be: at its own path, or in the temporary folder if there is too little room."""
    return list(dict.fromkeys((shared, Path(tempfile.gettempdir()) / shared.name)))


def size(path: Path) -> int:
    """Bytes of a regular file; 0 for anything else, and for a link."""
    with suppress(OSError):
        found = path.lstat()
        return found.st_size if stat.S_ISREG(found.st_mode) else 0
    return 0


def make_file(path: Path) -> None:
    """Make an empty file that only this user can read, in place of what stands there.

    Raises:
        UserError: if what stands there is another user's.
    """
    _clear(path)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        raise _in_the_way(path) from None


def make_folder(path: Path) -> None:
    """Make an empty folder that only this user can enter, in place of what stands there.

    Raises:
        UserError: if what stands there is another user's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise _in_the_way(path) from None


def _clear(path: Path) -> None:
    try:
        remove(path)
    except PermissionError:
        raise _in_the_way(path) from None


def _in_the_way(path: Path) -> UserError:
    return UserError(
        f"{path} is where weights go to the rollout, but somebody else has put something there; ask its owner or the "
        f"machine's administrator to remove it, or set TMPDIR and run the same command again"
    )


def remove(path: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link (never what it points to), if it is there."""
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass


def remove_shared(shared: Path) -> None:
    """Remove the files through which a run's weights went."""
    for place in places(shared):
        for path in (place, place.with_suffix(".partial")):
            with suppress(OSError):
                remove(path)
        remove_adapters(place)


def remove_adapters(shared: Path, keep: int = 0) -> None:
    """Remove the adapter folders beside a run's shared file, except the ``keep`` newest."""
    found = [
        (int(version[1]), path)
        for path in shared.parent.glob(f"{glob.escape(shared.stem)}.adapter-*")
        if (version := _VERSION.fullmatch(path.suffix)) and _is_mine(path)
    ]
    for _, path in sorted(found)[: max(0, len(found) - keep)]:
        with suppress(OSError):
            remove(path)


def shared_files() -> Iterator[Left]:
    """Every file and folder of this user on the way of some run's weights, wherever :func:`places` puts them."""
    for folder in dict.fromkeys((SHARED_MEMORY, Path(tempfile.gettempdir()))):
        for path in sorted(folder.glob("themis-*")) if folder.is_dir() else ():
            name = _NAME.fullmatch(path.name)
            process = parse(name[2]) if name else None
            if name is not None and process is not None and _is_mine(path):
                yield Left(path, name[1], process)


def remove_earlier(shared: Path) -> None:
    """Remove what earlier processes of a shared file's run have left on this machine. Only for the run that holds the
    lock of its folder: then no other process sends weights of that folder, on whatever machine it was."""
    name = _NAME.fullmatch(shared.name)
    for left in shared_files():
        if (
            name is not None
            and left.run == name[1]
            and left.process.text != name[2]
            and left.process.state() != "living"
        ):
            with suppress(OSError):
                left.remove()


def _is_mine(path: Path) -> bool:
    """Whether something is this user's file or folder, and not a link."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
