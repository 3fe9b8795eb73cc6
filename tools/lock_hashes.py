"""``python -m tools.lock_hashes``: writes the SHA-256 of every file that may be installed into the lock files.

A file may be installed if it fits Linux on x86_64 or aarch64 and a supported Python. Sources are taken only where no
wheel fits. The index that uv is configured with says which files there are; make setup refuses any other.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from tools.locks import HASHED, PYTHONS, ROOT, Unresolved, compiled, entries

MACHINES = ("x86_64", "aarch64")
"""The first is needed; some packages have nothing for the second."""
NEWEST_GLIBC = 60
"""Wheels for glibc 2.x up to this x count as fitting."""


def supported(python: str, machine: str) -> frozenset[Tag]:
    """The tags of wheels that fit a Python version on a machine with Linux and glibc."""
    version = tuple(map(int, python.split(".")))
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)]
    platforms += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
    return frozenset(cpython_tags(version, platforms=platforms)) | frozenset(
        compatible_tags(version, interpreter=f"cp{python.replace('.', '')}", platforms=platforms)
    )


def hashes(package: Mapping[str, Any]) -> list[str]:
    """The SHA-256 of each file of a ``pylock.toml`` package that may be installed, sorted.

    Raises:
        ValueError: if nothing fits a supported Python on the first of the machines.
    """
    wheels = {_name(one): one for one in package.get("wheels", ())}
    found, source = set(), package.get("sdist")
    for python, machine in product(PYTHONS, MACHINES):
        tags = supported(python, machine)
        fitting = [one for name, one in wheels.items() if parse_wheel_filename(name)[3] & tags]
        if not fitting and source is None and machine == MACHINES[0]:
            raise ValueError(f"{package['name']} {package['version']} has nothing for Python {python} on {machine}")
        found |= {one["hashes"]["sha256"] for one in fitting or [source] if one}
    return sorted(found)


def _name(file: Mapping[str, Any]) -> str:
    return file.get("name") or unquote(PurePosixPath(urlsplit(file["url"]).path).name)


def packages(wanted: Sequence[Requirement]) -> dict[str, Any]:
    """The ``pylock.toml`` package of each requirement by its normalised name.

    Raises:
        Unresolved: if there is no uv, no index answers, or it lacks a package.
    """
    options = ("--no-deps", "--universal", "--python-version", PYTHONS[0], "--format", "pylock.toml")
    lock = tomllib.loads(compiled(wanted, *options))
    return {canonicalize_name(one["name"]): one for one in lock["packages"]}


def hashed(text: str, known: Mapping[str, Sequence[str]]) -> str:
    """A lock file's text with these hashes in place of those it has; comments stay."""

    def lines() -> Iterator[str]:
        for entry in entries(text):
            if entry.requirement is None:
                yield entry.text
            else:
                added = known[canonicalize_name(entry.requirement.name)]
                yield " \\\n    ".join([str(entry.requirement), *(f"--hash=sha256:{one}" for one in added)])

    return "\n".join(lines()) + "\n"


def main(folder: Path = ROOT / "requirements") -> int:
    """0, or 1 with a sentence if the hashes can't be had; then no file is changed."""
    written = {}
    try:
        for name in HASHED:  # one by one: two of them may lock two versions of a package
            text = (folder / name).read_text(encoding="utf-8")
            found = packages([entry.requirement for entry in entries(text) if entry.requirement is not None])
            written[folder / name] = hashed(text, {package: hashes(one) for package, one in found.items()})
    except (Unresolved, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {text.count('--hash=')} hashes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
