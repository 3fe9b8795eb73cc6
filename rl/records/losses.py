"""What a run has lost on its way, and what was done about it: losses.jsonl, one line a loss, kept over resumes."""

from __future__ import annotations

import datetime
import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from typing_extensions import TypedDict

from rl.errors import UserError
from rl.files import read_json_lines
from rl.records.status import now

NOTHING = "nothing"
"""What is lost where everything that was being done is done again."""
Place = tuple[str | None, int | None]
"""Stage and step, where they are known."""


class Loss(TypedDict):
    """One line of the file."""

    at: str
    """When it was noticed: local time with its offset from UTC."""
    who: str
    """``trainer/0``, ``rollout/1``, ``reward/0 worker``, ``driver``, ``Ray`` …"""
    why: str
    """What happened to it."""
    done: str
    """What was done about it."""
    lost: str
    """What the run has lost by it."""
    stage: str | None
    step: int | None
    """The step that was being made, from 0."""
    pid: int | None
    host: str | None


class Losses:
    """Tells the losses of a run: one line for the user, and the same on the disk."""

    def __init__(
        self,
        run_dir: Path,
        console: Console,
        place: Callable[[], Place] = lambda: (None, None),
        count: Callable[[str, int], None] = lambda who, times: None,
    ) -> None:
        """
        Args:
            run_dir: the run folder.
            console: where they are told.
            place: gives the stage and the step that the run is in.
            count: told with each loss how often the same one has been lost, earlier starts of the run included.
        """
        self.path, self.console, self.place, self._count = run_dir / "losses.jsonl", console, place, count
        self.times: Counter[str] = Counter()
        """How often each was lost."""
        with suppress(UserError):  # a damaged file is named where it is shown, and no reason not to run
            self.times.update(loss["who"] for loss in read_losses(run_dir))

    def tell(
        self,
        who: str,
        why: str,
        done: str,
        lost: str = NOTHING,
        *,
        pid: int | None = None,
        host: str | None = None,
        at: datetime.datetime | None = None,
    ) -> None:
        """Tell a loss; ``at`` is when it happened, now if it is not given."""
        stage, step = self.place()
        moment = now() if at is None else at.isoformat(sep=" ", timespec="seconds")
        loss = Loss(at=moment, who=who, why=why, done=done, lost=lost, stage=stage, step=step, pid=pid, host=host)
        append(self.path, loss)
        self.times[who] += 1
        self._count(who, self.times[who])
        self.console.print(f"[yellow]{escape(sentence(loss))}[/yellow]", soft_wrap=True, highlight=False)


def sentence(loss: Loss) -> str:
    """A loss in one line."""
    return f"{loss['who']} {loss['why']}; {loss['done']}; lost: {loss['lost']}"


def append(path: Path, loss: Loss) -> None:
    """Add a line, after a line that a crash has cut short was removed."""
    line = json.dumps(loss, ensure_ascii=False).encode() + b"\n"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        found = os.pread(file, os.fstat(file).st_size, 0)
        end = found.rfind(b"\n") + 1
        if end < len(found):
            os.ftruncate(file, end)
        os.pwrite(file, line, end)
        os.fsync(file)
    finally:
        os.close(file)


def read_losses(run_dir: Path) -> list[dict[str, Any]]:
    """The losses of a run, in the order in which they were noticed; none if there is no file.

    Raises:
        UserError: naming file and line, if one is damaged.
    """
    return read_json_lines(run_dir / "losses.jsonl", Loss, "remove the line", "a loss of a run")
