"""Evaluations that the page has started: each a process of ``python -m rl.evaluate run``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rl.errors import UserError
from rl.evaluation.web.run_folders import NAME
from rl.language import Text

LOG = "log.txt"
LONGEST = 200
"""Most bytes of a name, of which a Chinese character has three: file systems allow 255."""
PATIENCE_S = 30.0
"""Seconds that a process has to stop after an interrupt."""
TAIL = 16_384
"""Most bytes of a log that are shown."""


@dataclass
class Job:
    """A started evaluation."""

    name: str
    process: subprocess.Popen[bytes]
    total: int
    """Questions that it asks."""
    interrupted: bool = False
    """Whether it was asked to stop."""

    @property
    def state(self) -> str:
        """``running``, ``finished``, ``stopped`` or ``failed``."""
        code = self.process.poll()
        if code is None:
            return Text("running")
        return Text("finished") if code == 0 else Text("stopped") if self.interrupted else Text("failed")


class Jobs:
    """The processes by the names of their runs. They end with the server; the same settings resume them.

    ``command`` comes before the options; by default it runs the module."""

    def __init__(self, runs: Path, command: Sequence[str] = (sys.executable, "-m", "rl.evaluate", "run")) -> None:
        self.runs, self.command = runs, tuple(command)
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self, name: str, options: Sequence[str], total: int, environment: Mapping[str, str]) -> Job:
        """Start an evaluation into the folder ``name``.

        Raises:
            UserError: if the name is not valid, or its evaluation is running.
        """
        if not NAME.fullmatch(name) or len(name.encode()) > LONGEST:
            raise UserError(
                Text(
                    "{name} is not a name for a run; use letters or Chinese characters, digits, spaces, -, _, = and "
                    "dots, 100 letters or 60 characters at most",
                    name=name or Text("(none)"),
                )
            )
        with self._lock:
            if name in self._jobs and self._jobs[name].state == "running":
                raise UserError(Text("{name} is running; stop it first or give another name", name=name))
            folder = self.runs / name
            if folder.is_symlink():
                raise UserError(Text("{name} is a link to another folder; give another name", name=name))
            folder.mkdir(exist_ok=True)
            with (folder / LOG).open("ab") as log:
                process = subprocess.Popen(
                    [*self.command, *options, f"--out={folder}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**environment, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}, start_new_session=True,
                )  # fmt: skip
            self._jobs[name] = Job(name, process, total)
            return self._jobs[name]

    def find(self, name: str) -> Job | None:
        """The job of a run; None where this server has started none."""
        return self._jobs.get(name)

    def stop(self, name: str) -> None:
        """Interrupt an evaluation, which keeps its answers; kill its processes that do not end in time.

        Raises:
            UserError: if this server has no such evaluation running.
        """
        job = self._jobs.get(name)
        if job is None or job.state != "running":
            raise UserError(Text("{name} is not running here; choose one that is", name=name or Text("(none)")))
        job.interrupted = True
        job.process.send_signal(signal.SIGINT)
        threading.Thread(target=_ended, args=(job.process,), daemon=True).start()

    def close(self) -> None:
        """Stop all, and wait for them."""
        running = [job.process for job in self._jobs.values() if job.state == "running"]
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # it leads its own session


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])


def answers_kept(folder: Path) -> int:
    """Questions whose answers are in a run's journal."""
    return sum(path.read_bytes().count(b"\n") for path in (folder / "answers").glob("*.jsonl"))
