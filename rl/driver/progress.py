"""Says who a run waits for when it makes no progress, and keeps status.json. Made when Ray is up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.markup import escape

from cluster.errors import Lost
from cluster.ray_cluster import log_folder
from cluster.waits import FIRST_S, waiting
from cluster.watch import Watch
from rl.records.status import Awaited, Status, now, write_status
from rl.records.tracking import Tracker

WORDS = {
    "ready": "start", "rendezvous": "start", "setup": "start", "reserve": "reserve its resources",
    "check": "try its rewards", "submit": "take prompts", "collect": "sample", "score": "score",
    "publish": "publish its weights", "send": "send its weights", "sync": "load weights", "join_transfer": "connect",
    "begin_stage": "begin the stage", "accumulate": "train", "step": "train", "update": "train",
    "log_probs": "compute log-probs", "save": "save a checkpoint", "load": "load a checkpoint",
    "export": "export the model", "wake": "take the GPU", "sleep": "free the GPU",
}  # fmt: skip
"""What methods do, in words."""


STUCK_S = 20.0
"""How long the main thread has to end a run without Ray by itself (seconds). Ray ends its process after 60 s."""


class Progress:
    """Looks at the driver's waits; :meth:`look` is called every few seconds."""

    def __init__(self, run_dir: Path, tracker: Tracker) -> None:
        self.run_dir, self.tracker = run_dir, tracker
        self.end_stuck: Callable[[], None] = lambda: None
        """Ends the process when the main thread is in a call to a lost Ray that nothing interrupts."""
        self._lost_s = 0.0
        self._told_still_s = 0.0
        self._watch: Watch | None = None
        self._began, self._logs = now(), log_folder()

    def look(self, watch: Watch, seconds: float) -> None:
        """Note that time has passed."""
        self._watch = watch
        self._lost_s += seconds if watch.lost else 0.0
        if self._lost_s >= STUCK_S:
            self.end_stuck()
        for wait in waiting.pass_time(seconds):
            self._say(f"waiting for {wait.waited_s:.0f} s for {wait.who} to {in_words(wait.what)}")
        if waiting.still_s < FIRST_S:
            self._told_still_s = 0.0
        elif not waiting.longest() and waiting.still_s >= max(FIRST_S, 2 * self._told_still_s):
            self._told_still_s = waiting.still_s
            phase = f" with {self.tracker.current}" if self.tracker.current else ""
            self._say(f"for {waiting.still_s:.0f} s this process has been busy{phase} and has asked no actor")
        self.write(None)
        self.tracker.gauges.again()

    @property
    def lost(self) -> Lost | None:
        """Ray itself, if it is lost."""
        return Lost("Ray", self._watch.lost) if self._watch and self._watch.lost else None

    def write(self, ended: str | None) -> None:
        """Write status.json; a full disk stops a run elsewhere."""
        watch = self._watch
        stage, step = self.tracker.place
        with suppress(OSError):
            write_status(
                self.run_dir,
                Status(
                    written=now(),
                    began=self._began,
                    stage=stage,
                    step=step,
                    waiting=[
                        Awaited(who=one.who, what=in_words(one.what), seconds=round(one.waited_s))
                        for one in waiting.longest()
                    ],
                    frozen=watch.frozen() if watch else [],
                    actors=watch.pids() if watch else {},
                    logs=self._logs,
                    ended=ended,
                ),
            )

    def _say(self, text: str) -> None:
        stage, step = self.tracker.place
        where = f" (step {step + 1} of stage {stage})" if stage is not None and step is not None else ""
        self.tracker.console.print(f"[yellow]{escape(text + where)}[/yellow]", soft_wrap=True, highlight=False)


def in_words(method: str) -> str:
    """What an actor is to do, after ``to``."""
    return WORDS.get(method, f"finish {method}")
