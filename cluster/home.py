"""A home folder that can be written to. The caches of torch, vLLM, matplotlib, Hugging Face, W&B and Ray are there."""

from __future__ import annotations

import os
import pwd
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

WRITTEN = ("", ".cache", ".config", ".ray")
"""Folders below the home folder that must be writable where they exist."""


def require_home() -> None:
    """Give this process, and those it starts, a private temporary home folder if its own is unusable.

    A hub cache that can be read stays in use. A user without a name, as in some containers, gets one.
    """
    _require_user()
    problem = home_problem()
    if not problem:
        os.environ["HOME"] = os.environ.get("HOME") or os.path.expanduser("~")
        return
    cache = Path(os.environ.get("HOME", "")) / ".cache/huggingface/hub"
    if "HF_HOME" not in os.environ and os.environ.get("HOME") and cache.is_dir():
        os.environ.setdefault("HF_HUB_CACHE", str(cache))
    os.environ["HOME"] = str(_private_folder())
    print(f"{problem}: caches are kept in {os.environ['HOME']}", file=sys.stderr, flush=True)


def home_problem() -> str:
    """Why the home folder is unusable; empty if it is usable."""
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        return "HOME is not set" if "HOME" not in os.environ else f"HOME={home} is not an absolute path"
    for name in WRITTEN:
        folder = Path(home, name)
        try:
            if name and not folder.exists():
                continue
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            return f"the home folder {folder} can't be written to ({error.strerror})"
    return ""


def _require_user() -> None:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("LOGNAME", f"user{os.getuid()}")


def _private_folder() -> Path:
    """The same folder for all processes of a user, unless somebody else has made one of that name."""
    folder = Path(tempfile.gettempdir(), f"themis-home-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="themis-home-"))
