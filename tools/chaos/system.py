"""A running command: its processes by the names that faults use, and how far it has come."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil

from cluster.names import name_in_run
from cluster.processes import remaining
from tools.chaos.plan import PLACES
from tools.chaos.variants import Variant

ROOT = Path(__file__).resolve().parents[2]
MARK = "THEMIS_CHAOS"
"""Environment variable by which every process of a command is found, whoever its parent is."""
TOKEN = secrets.token_hex(16)
"""Of Ray's authentication, so that this process may ask the run's Ray who is who."""


class System:
    """The command of a run, started once."""

    def __init__(self, variant: Variant, run_dir: Path, judge: Path | None, log: Path, more: dict[str, str]) -> None:
        """Start it; ``more`` is added to its environment, and what it prints to the file ``log``."""
        self.variant, self.run_dir, self.log = variant, run_dir, log
        self.mark = secrets.token_hex(8)
        self.printed_before = log.stat().st_size if log.exists() else 0
        self.family: set[psutil.Process] = set()
        """Every process that was seen of it."""
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                variant.command(run_dir, judge), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, env=os.environ | more | {MARK: self.mark}, start_new_session=True,
                preexec_fn=as_at_a_terminal,
            )  # fmt: skip
        self._gcs: str | None = None

    @property
    def printed(self) -> str:
        """What this start of the command has printed."""
        with self.log.open("rb") as file:
            file.seek(self.printed_before)
            return file.read().decode(errors="replace")

    @property
    def lines(self) -> int:
        """Whole lines of metrics.jsonl."""
        try:
            return (self.run_dir / "metrics.jsonl").read_bytes().count(b"\n")
        except OSError:
            return 0

    def look(self) -> None:
        """Note the processes that there are."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.family |= {psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(True)}

    def pid(self, victim: str) -> int | None:
        """The process of a victim, 0 for a place; None if there is none yet, or no longer."""
        self.look()
        if victim in PLACES:
            return 0 if self.run_dir.is_dir() else None
        if victim == "driver":
            return self.process.pid if self.process.poll() is None else None
        if victim in ("raylet", "gcs"):
            return next((p.pid for p in self._living() if _name(p) == {"gcs": "gcs_server"}.get(victim, victim)), None)
        if victim in ("reward worker", "worker supervisor"):
            found = [p for p in self._below("reward/0") if "rewards.worker" in _words(p)]
            inner = {p.pid for p in found if "rewards.worker" in _words(_parent(p))}
            return next((p.pid for p in found if (p.pid in inner) == (victim == "reward worker")), None)
        if victim == "judge server":
            below = {p.pid: " ".join(_words(p)) for p in self._below("judge/0")}
            return next((pid for pid, text in below.items() if "vllm" in text and "rewards.lifetime" not in text), None)
        return self.actors().get(victim)

    def actors(self) -> dict[str, int]:
        """Process of each living actor, by the actor's name without its run, as the run's Ray says."""
        address = self._address()
        if address is None:
            return {}
        from ray._private.state import GlobalState
        from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]

        state = GlobalState()
        try:
            options = GcsClientOptions.create(address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
            state._initialize_global_state(options)
            table: dict[str, dict[str, Any]] = state.actor_table(None)
        except Exception:  # Ray is starting, or ending
            return {}
        living = [one for one in table.values() if one["State"] != "DEAD" and one["Pid"]]
        return {name_in_run(one["Name"]): one["Pid"] for one in living}

    def _address(self) -> str | None:
        """Of the GCS; None if there is none. Whoever asks a GCS that is gone may end with it."""
        if not any(_name(process) == "gcs_server" for process in self._living()):
            return None
        for process in self._living():
            if _name(process) == "raylet":
                given = next((word for word in _words(process) if word.startswith("--gcs-address=")), None)
                return given.removeprefix("--gcs-address=") if given else None
        return None

    def _living(self) -> list[psutil.Process]:
        return [process for process in self.family if process.is_running() and _name(process)]

    def _below(self, actor: str) -> list[psutil.Process]:
        pid = self.actors().get(actor)
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(pid).children(recursive=True) if pid else []
        return []

    def left_over(self, timeout_s: float) -> list[str]:
        """The processes of this command that are still there after a while, by their command lines."""
        marked = f"{MARK}={self.mark}".encode()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                if marked in (place / "environ").read_bytes():
                    self.family.add(psutil.Process(int(place.name)))
        alive = remaining([one for one in self.family if one.is_running()], timeout_s)
        return [f"{one.pid} {' '.join(_words(one))[:80]}" for one in alive if one.status() != psutil.STATUS_ZOMBIE]

    def end(self) -> None:
        """Kill all of it: for a command that hangs."""
        self.look()
        for process in self.family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


def as_at_a_terminal() -> None:
    """Heed Ctrl-C and a closed terminal, also below a shell's ``&`` or ``nohup``, which ignore them."""
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def _name(process: psutil.Process) -> str:
    """The name of a process; empty if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:
            return str(process.name())
    return ""


def _words(process: psutil.Process | None) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess):
        if process is not None:
            return list(process.cmdline())
    return []


def _parent(process: psutil.Process) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.parent()
    return None
