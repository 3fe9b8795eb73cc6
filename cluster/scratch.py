"""The temporary folder of Ray's workers. Ray ends them by force, so what they and their libraries leave in their
temporary folder would stay: it goes with that folder.

The process that started Ray holds a lock on a file in it. A folder whose lock is free belongs to a process that was
killed, and the next start of any run removes it.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "themis-tmp-"
HELD = ".held"
"""The file that is locked."""
YOUNG_S = 600.0
"""A folder without that file may still get it (seconds)."""
PATIENCE_S = 5.0
"""How long workers that are ending may still write there (seconds)."""


@contextmanager
def scratch_folder() -> Iterator[dict[str, str]]:
    """Within it there is such a folder; gives the environment variables by which workers use it."""
    remove_unheld()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    held = os.open(folder / HELD, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    # Compiled kernels are worth keeping.
    compiled = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or f"{tempfile.gettempdir()}/torchinductor_{_user()}"
    try:
        yield {"TMPDIR": str(folder), "TORCHINDUCTOR_CACHE_DIR": compiled}
    finally:
        until = time.monotonic() + PATIENCE_S
        while True:
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists() or time.monotonic() > until:
                break
            time.sleep(0.1)
        os.close(held)


def remove_unheld() -> None:
    """Remove the folders of this user whose processes were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and _is_unheld(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_unheld(folder: Path) -> bool:
    try:
        held = os.open(folder / HELD, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - folder.lstat().st_mtime > YOUNG_S
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(held)
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())
