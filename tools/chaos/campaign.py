"""One run with several faults: the same command again until it is done, then what was lost."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.chaos import clock, sandbox
from tools.chaos.compare import differences, differences_so_far, told, tracebacks
from tools.chaos.faults import Undo, hit
from tools.chaos.plan import RAY, Campaign, Fault
from tools.chaos.system import System
from tools.chaos.variants import Variant, stages

POLL_S = 0.05
LOOK_S = 1.0
STILL_S = 420.0
"""A command that logs nothing for so long (seconds) hangs: far more than any wait of the chaos configuration."""
KEPT = ("ray", "torchinductor_")
"""In the temporary folder: the logs of Ray's sessions, and compiled kernels."""
TOLD_AS = {
    "driver": "driver", "raylet": "Ray", "gcs": "Ray", "reward worker": "worker", "worker supervisor": "worker",
    "judge server": "server",
}  # fmt: skip
"""A word in the record of a loss, where the record does not hold the process."""
ENDS_S = 90.0
"""Longest time in which all processes of a command that has ended are gone (seconds)."""
MOST_IDLE = 3
"""Starts in a row that end badly without a new fault, after which a run is given up."""
NOT_AT_ONCE = ("term", "hangup", "ctrl-c", "memory", "files")
"""Kinds that a command answers with a sentence once its modules are loaded: they wait until it has begun to print."""
VICTIM_S = 60.0
"""Longest wait for a victim to appear (seconds)."""


@dataclass
class Outcome:
    """What a fault did."""

    fault: Fault
    variant: str
    campaign: int
    pid: int = 0
    at: float = 0.0
    """Seconds since the campaign began."""
    lines: int = 0
    """Lines of metrics.jsonl when it came."""
    recovered_s: float | None = None
    """Seconds from the fault to the first new line; None while there is none."""
    starts: int = 0
    """How often the command had to be given again until then."""
    told: bool | None = None
    """Whether the run has recorded the loss; None if the fault need not be one."""
    problems: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Whether nothing was lost."""
        return self.recovered_s is not None and not self.problems


def unbroken_run(variant: Variant, out: Path, judge: Path | None, say: Callable[[str], None]) -> Path:
    """The folder of a variant's unbroken run, which is made if there is none of the same command and curriculum.

    Raises:
        RuntimeError: if the run fails.
    """
    folder = out / f"unbroken-{variant.name}"
    run_dir, log, done = folder / "run", folder.with_suffix(".log"), folder / "done"
    made_from = "\n".join([*variant.command(run_dir, judge), repr(stages())])
    if done.exists() and done.read_text() == made_from:
        return run_dir
    say(f"the unbroken run of {variant.name}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log.unlink(missing_ok=True)
    system = System(variant, run_dir, judge, log, {})
    if system.process.wait() != 0:
        raise RuntimeError(f"the unbroken run of {variant.name} failed, see {log}:\n{system.printed[-2000:]}")
    done.write_text(made_from)
    return run_dir


def is_of(loss: dict[str, Any], outcome: Outcome) -> bool:
    """Whether a loss that a run has recorded may be what a fault did."""
    victim = outcome.fault.victim
    if victim in TOLD_AS:
        return TOLD_AS[victim] in f"{loss['who']} {loss['why']}"
    # an actor that dies while it is started has no known process yet
    return bool(loss["pid"] == outcome.pid or (loss["pid"] is None and loss["who"] == victim))


class Run:
    """The run of a campaign."""

    def __init__(
        self, campaign: Campaign, unbroken: Path, folder: Path, judge: Path | None, say: Callable[[str], None],
        private: bool,
    ) -> None:  # fmt: skip
        """
        Args:
            campaign: the faults.
            unbroken: folder of the unbroken run of the same variant.
            folder: of this run; it is made.
            judge: folder of the judge's model.
            say: shows a line.
            private: whether this process is in the sandbox.
        """
        self.campaign, self.unbroken, self.folder, self.judge, self.say = campaign, unbroken, folder, judge, say
        self.private = private
        self.run_dir, self.log = folder / "run", folder.with_suffix(".log")
        self.outcomes: list[Outcome] = []
        self.problems: list[str] = []
        self.waiting = list(campaign.faults)
        self._tmp = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))  # short, for the paths of Ray's sockets
        self._undo: list[tuple[float | None, Undo, Outcome]] = []
        self._open: list[Outcome] = []
        """Faults after which no new line has come."""
        self._suspects: list[Outcome] = []
        """Faults since the lines were last found to be right."""
        self._new = False
        """Whether a fault came in this start of the command."""
        self._ended: list[tuple[System, float]] = []
        """Commands that have ended, and when all their processes must be gone."""
        self._began = time.monotonic()

    def to_its_end(self) -> None:
        """Give the command until it ends well, with all the faults; then look for what was lost."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.log.unlink(missing_ok=True)
        if self.private:
            sandbox.mount_disk(self.folder)
        try:
            start = idle = 0
            while self._once(start) != 0:
                start += 1
                idle = 0 if self._new else idle + 1
                for outcome in self._open:
                    outcome.starts += 1
                if idle == MOST_IDLE:
                    self._problem("the command does not end well, though no further fault has come")
                    return
            self._look_for_processes(at_the_end=True)
            for found in differences(self.run_dir, self.unbroken, self.campaign.variant) + self._left():
                self._problem(found)
            self._look_whether_told()
        finally:
            self._look_for_processes(at_the_end=True)
            if self.private:
                sandbox.unmount(self.folder)
            shutil.rmtree(self._tmp, ignore_errors=True)

    def _once(self, start: int) -> int:
        """The command, once; its exit status."""
        self._new = False
        self._look_for_processes(at_the_end=False)
        more = {"TMPDIR": str(self._tmp), "NO_COLOR": "1"}
        if any(fault.kind == "clock" for fault in self.campaign.faults):
            more |= clock.environment(self.folder)
        system = System(self.campaign.variant, self.run_dir, self.judge, self.log, more)
        try:
            self._watched(system, start)
        except BaseException:
            system.end()
            raise
        finally:
            for _, undo, _ in self._undo:
                undo()
            self._undo.clear()
        self._after(system)
        return int(system.process.returncode)

    def _watched(self, system: System, start: int) -> None:
        """Follow the command to its end, and do what is due."""
        began = moved = looked = time.monotonic()
        most, due = system.lines, None
        while system.process.poll() is None:
            now = time.monotonic()
            lines = system.lines
            if lines != most:
                most, moved = lines, now
            self._recover(system, lines)
            for item in [item for item in self._undo if item[0] is not None and item[0] <= now]:
                self._undo.remove(item)
                item[1]()
            if self.waiting and due is None and self._is_time(self.waiting[0], lines, start, began):
                due = now + self.waiting[0].delay_s
            if due is not None and now >= due and not self._ray_is_held:
                self._hit(self.waiting.pop(0), system, lines)
                due, moved = None, time.monotonic()
            if now - moved > STILL_S:
                self._problem(f"no line for {STILL_S:.0f} s: the command hangs")
                system.end()
            if now - looked > LOOK_S:  # it reads all of /proc
                system.look()
                looked = now
            time.sleep(POLL_S)

    @property
    def _ray_is_held(self) -> bool:
        """Whether Ray can't be asked now who is who."""
        return any(outcome.fault.victim in RAY and until is not None for until, _, outcome in self._undo)

    def _is_time(self, fault: Fault, lines: int, start: int, began: float) -> bool:
        if fault.at_start and start and time.monotonic() - began < VICTIM_S:
            return True
        return lines >= fault.line

    def _hit(self, fault: Fault, system: System, lines: int) -> None:
        until, pid = time.monotonic() + VICTIM_S, None
        while pid is None and system.process.poll() is None and time.monotonic() < until:
            if fault.kind not in NOT_AT_ONCE or system.printed:
                pid = system.pid(fault.victim)
            if pid is None:
                time.sleep(POLL_S)
        number = len(self.campaign.faults) - len(self.waiting)
        if pid is None or system.process.poll() is not None:
            self.say(f"  not met: {fault.text()}")
            return
        outcome = Outcome(fault, self.campaign.variant.name, self.campaign.number, pid, self._clock(), lines)
        self.say(f"  {number}/{len(self.campaign.faults)} {fault.text()}: pid {pid}, {lines} lines")
        try:
            lasts, undo = hit(fault, pid, system)
        except (ProcessLookupError, PermissionError) as error:
            self.say(f"  not met: {error}")
            return
        self._undo.append((None if lasts is None else time.monotonic() + lasts, undo, outcome))
        self._new = True
        for known in (self.outcomes, self._open, self._suspects):
            known.append(outcome)

    def _recover(self, system: System, lines: int, over: bool = False) -> None:
        """Note the faults after which new lines have come, and look whether the lines are right."""
        back = [one for one in self._open if over or lines > one.lines]
        if not back:
            return
        for one in back:
            one.recovered_s = self._clock() - one.at
            self._open.remove(one)
        with contextlib.suppress(ValueError):  # a line is being written
            for found in differences_so_far(self.run_dir, self.unbroken, self.campaign.variant):
                self._problem(found)
        if not self._open:
            self._suspects.clear()

    def _after(self, system: System) -> None:
        """What is left of a command that has ended, and what it printed."""
        code, printed = system.process.returncode, system.printed
        if code == 0:
            self._recover(system, system.lines, over=True)
        else:
            last = next((line for line in reversed(printed.splitlines()) if line.strip()), "")
            self.say(f"  the command ended with {code}: {last.strip()[:160]}")
        for error in tracebacks(printed):
            self._problem(f"a traceback was printed: {error[:160]}")
        self._ended.append((system, time.monotonic() + ENDS_S))

    def _look_for_processes(self, at_the_end: bool) -> None:
        """Find processes that have not gone in time. The next start does not wait for them, as nobody would: agents of
        a Ray that was killed take a minute."""
        for one in list(self._ended):
            system, until = one
            if not at_the_end and time.monotonic() < until:
                continue
            self._ended.remove(one)
            left = system.left_over(max(0.0, until - time.monotonic()))
            if left:
                self._problem(f"processes were left: {'; '.join(left[:4])}")
                system.end()

    def _left(self) -> list[str]:
        """What is left in temporary folders and in shared memory, of a run that is done."""
        places = [self._tmp, *([sandbox.SHARED_MEMORY] if self.private else [])]
        left = [path for place in places for path in place.iterdir() if not path.name.startswith(KEPT)]
        return [f"{path} was left" for path in left[:6]]

    def _look_whether_told(self) -> None:
        """Find the record of each death among what the run has told."""
        records = told(self.run_dir)
        for outcome in self.outcomes:
            if outcome.fault.kind in ("kill", "freeze"):
                mine = [one for one in records if is_of(one, outcome)]
                outcome.told = bool(mine)
                if mine:
                    records.remove(mine[0])
                else:
                    self.say(f"  not told: {outcome.fault.text()}")

    def _problem(self, text: str) -> None:
        self.problems.append(text)
        self.say(f"  LOST: {text}")
        for one in self._suspects or self._open or self.outcomes[-1:]:
            one.problems.append(text)

    def _clock(self) -> float:
        return round(time.monotonic() - self._began, 2)
