"""A wall clock that jumps, for the Python code of a process: a library of ours is loaded before all others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
JUMP_S = 26 * 3600
"""Over a change of the day."""


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc")


def environment(folder: Path) -> dict[str, str]:
    """Variables of a process whose clock :func:`jump` moves; nothing on a machine without a compiler."""
    cc, library, clock = compiler(), folder / "clock.so", folder / "clock"
    if cc is None:
        return {}
    if not library.exists():
        subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    if not clock.exists():
        jump(folder, 0)
    return {"LD_PRELOAD": str(library), "THEMIS_CHAOS_CLOCK": str(clock)}


def jump(folder: Path, seconds: int) -> None:
    """Set how far the clock is ahead (seconds)."""
    with (folder / "clock").open("r+b" if (folder / "clock").exists() else "wb") as file:  # the same file: it is mapped
        file.write(seconds.to_bytes(8, "little", signed=True))
