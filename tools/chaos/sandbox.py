"""A mount namespace for the runs, with shared memory and a small disk of their own, which can be filled: what is left
there is theirs alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
INSIDE = "THEMIS_CHAOS_SANDBOX"
"""Set within the namespace."""
SHM_MB, DISK_MB = 1024, 768


def enter(module: str, arguments: Sequence[str]) -> bool:
    """Run this command again in a namespace of its own, in place of this process.

    Returns:
        Within it, True. False where the kernel lets this user make none.
    """
    if INSIDE in os.environ:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SHM_MB}m,mode=1777", "chaos", SHARED_MEMORY], check=True)
        del os.environ[INSIDE]
        return True
    options = ["--mount"] if os.getuid() == 0 else ["--mount", "--map-root-user"]
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, *options, "true"], capture_output=True, check=False).returncode:
        return False
    os.environ[INSIDE] = "1"
    os.execv(unshare, [unshare, *options, sys.executable, "-m", module, *arguments])


def mount_disk(folder: Path) -> None:
    """Make a folder a small disk, which goes with the namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "chaos", folder], check=True)


def unmount(folder: Path) -> None:
    """End what :func:`mount_disk` began; what was on the disk is lost."""
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Callable[[], None]:
    """Take all the space of a folder's disk; the answer frees it."""
    path = folder / ".chaos-filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 24, 1 << 20, 1 << 12):
            block = bytes(size)
            with contextlib.suppress(OSError):
                while file.write(block) == size:
                    pass

    def free() -> None:
        path.unlink(missing_ok=True)

    return free


def make_read_only(folder: Path) -> Callable[[], None]:
    """Put a read-only mount of a folder over it; the answer takes it away."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    return lambda: unmount(folder)
