"""What the driver of a run is doing, for those who look from outside: status.json, written every few seconds."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from rl.files import in_one_move, read_json

REMOVE = "remove it: the run writes it again"


class Awaited(TypedDict):
    """A wait that is going on."""

    who: str
    what: str
    seconds: float


class Status(TypedDict):
    """What the file holds."""

    written: str
    """Local time with its offset from UTC."""
    began: str
    """When this start of the run began."""
    stage: str | None
    step: int | None
    """The step that is being made, from 0."""
    waiting: list[Awaited]
    """The longest first."""
    frozen: list[str]
    """Actors with a process that a signal has stopped."""
    actors: dict[str, int]
    """Process ids by the name of the actor, those that have ended too."""
    logs: str | None
    """The folder of Ray's logs on the machine of the driver."""
    ended: str | None
    """Why the driver ended: empty if all is done, a sentence if something went wrong; None while it runs."""


def now() -> str:
    """Local time with its offset from UTC."""
    return datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def write_status(run_dir: Path, status: Status) -> None:
    """Write the file in one move. It need not last longer than the machine, so nothing waits for the disk."""
    with in_one_move(run_dir / "status.json") as partial:
        partial.write_text(json.dumps(status, ensure_ascii=False, indent=1), encoding="utf-8")


def read_status(run_dir: Path) -> dict[str, Any] | None:
    """What the file holds; None if there is none.

    Raises:
        UserError: if it is damaged.
    """
    path = run_dir / "status.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = read_json(path, Status, REMOVE, "the status of a run")
    return found
