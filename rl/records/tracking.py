"""The numbers of a run: metrics.jsonl, progress, Ray metrics, Weights & Biases, rollout files.

Every line of metrics.jsonl is {"stage", "step", …metrics, "time": {phase: seconds}}. Only "time" holds what a clock
gave, so the rest of two equal runs is equal to the last digit. "step" there is the whole step; what the phases leave
of it is the driver's own time. A number that is not finite is null, as JSON has no other way to write it.
rl/config/metrics.py says what each metric means.

W&B has one step over all stages, ``global_step``: the number of the line in metrics.jsonl. It can't go back, so steps
that a resume repeats are not sent again; metrics.jsonl holds the repetition.
"""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import TypedDict

from rl.config.metrics import SHOWN
from rl.config.schema import TrackerConfig
from rl.errors import UserError
from rl.files import read_json, read_json_lines, write_bytes, write_json
from rl.records.beside import Beside
from rl.records.eta import Eta, about
from rl.records.gauges import Gauges
from rl.records.rollouts import rollout_files, step_of, write_rows
from rl.records.trace import DRIVER, Trace


class _Sent(TypedDict):
    """What wandb.json holds."""

    global_step: int


def _check_line(line: dict[str, Any]) -> dict[str, Any]:
    place, times = (line.get("stage"), line.get("step")), line.get("time", {})
    if not isinstance(place[0], str) or type(place[1]) is not int or place[1] < 0:
        raise ValueError("no stage or no step")
    values = [value for name, value in line.items() if name not in ("stage", "step", "time")]
    if not isinstance(times, dict) or not all(_is_number(value) for value in times.values()):
        raise ValueError("its time is no table of numbers")
    if not all(value is None or _is_number(value) for value in values):
        raise ValueError("a metric is no number")
    return line


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_Line = Annotated[dict[str, Any], AfterValidator(_check_line)]
"""What a line of metrics.jsonl holds: numbers, or null where one was not finite."""


class Tracker:
    """Sends every number to all its destinations."""

    def __init__(self, run_dir: Path, config: TrackerConfig, console: Console, eta: Eta | None = None) -> None:
        self.run_dir, self.config, self.console = run_dir, config, console
        self._eta = eta or Eta(())
        self.path = run_dir / "metrics.jsonl"
        self.wandb_id = uuid.uuid4().hex[:12]
        self._wandb: Any = None
        self._sent_file = run_dir / "wandb.json"
        self._sent: int = read_json(self._sent_file, _Sent)["global_step"] if self._sent_file.is_file() else -1
        """Last step that was sent to W&B, by this process or one before."""
        self._logged = self._count()
        """Lines of metrics.jsonl."""
        self.gauges = Gauges(run_dir.resolve().name)
        self._trace = Trace(run_dir, config.trace_steps)
        self._files = Beside()
        self._times: dict[str, float] = {}
        self._stage = ""
        self._step = 0
        self.current = ""
        """The phase that is going on."""
        self._progress: tuple[Progress, Any] | None = None
        self._shown = 0.0
        self._sampler_busy = 0.0
        self._step_began = time.perf_counter()

    # --- a stage and its phases -----------------------------------------------------------------------------------

    @contextmanager
    def stage(self, name: str, total: int, start: int) -> Iterator[None]:
        """Show the progress of a stage."""
        self._stage, self._times, self._step_began, self._sampler_busy = name, {}, time.perf_counter(), 0.0
        self._step = start
        self.gauges.begin_stage(name, start)
        self._trace.begin(start)
        try:
            with self._shown_progress(name, total, start):
                yield
        finally:
            self.wait()

    @contextmanager
    def _shown_progress(self, name: str, total: int, start: int) -> Iterator[None]:
        if not (self.config.progress and self.console.is_terminal):
            yield
            return
        columns = (
            TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[figures]}"),
        )  # fmt: skip
        with Progress(*columns, console=self.console) as progress:
            self._progress = progress, progress.add_task(name, total=total, completed=start, figures="")
            try:
                yield
            finally:
                self._progress = None

    def advance(self, done: int) -> None:
        """Show how much of a stage is done, between two lines of the log."""
        self._step = done
        self.gauges.progress(self._stage, done)
        if self._progress is not None:
            progress, bar = self._progress
            progress.update(bar, completed=done)

    @property
    def place(self) -> tuple[str | None, int | None]:
        """The stage that the run is in, and how much of it is done; None before the first."""
        return (self._stage, self._step) if self._stage else (None, None)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase of a step."""
        started, before = time.perf_counter(), self.current
        self.current = name
        try:
            yield
        finally:
            self.current = before
            ended = time.perf_counter()
            self._times[name] = self._times.get(name, 0.0) + ended - started
            self._trace.add(DRIVER, name, started, ended)

    # --- logging --------------------------------------------------------------------------------------------------

    def log(self, stage: str, step: int, metrics: dict[str, float], sampler_busy_s: float | None = None) -> None:
        """Write the line of a step.

        With ``sampler_busy_s``, the seconds that the rollout engines have worked since the stage began, it also logs
        who waited: ``rollout`` and ``reward`` are the trainer's waits for groups, ``trainer_wait`` is the time in which
        the engines had nothing to do, and ``bubble`` the share of both sides' time that was spent waiting.
        """
        now = time.perf_counter()
        times, self._times = {**self._times, "step": now - self._step_began}, {}
        self._trace.end(stage, step, self._step_began, now)
        self._trace.begin(step + 1)
        self._step_began = now
        if sampler_busy_s is not None:
            times["trainer_wait"] = max(0.0, times["step"] - (sampler_busy_s - self._sampler_busy))
            self._sampler_busy = sampler_busy_s
            waits = times.get("rollout", 0.0) + times.get("reward", 0.0) + times["trainer_wait"]
            times["bubble"] = waits / (2 * times["step"])
        plain = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        line = {"stage": stage, "step": step, **plain, "time": {k: round(v, 4) for k, v in times.items()}}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self.gauges.step(stage, {**metrics, **{f"time/{name}": seconds for name, seconds in times.items()}})
        self.gauges.progress(stage, step + 1)
        self._send(stage, step, metrics, times)
        self._logged += 1
        self._step = step + 1
        self._eta.note(stage, times["step"])
        self._show(stage, step, metrics, times)

    def _send(self, stage: str, step: int, metrics: dict[str, float], times: dict[str, float]) -> None:
        if self._wandb is None or self._logged <= self._sent:
            return
        self._sent = self._logged
        write_json(self._sent_file, {"global_step": self._sent})
        values = {f"{stage}/{k}": v for k, v in metrics.items()} | {f"time/{stage}/{k}": v for k, v in times.items()}
        self._wandb.log({"global_step": self._sent, f"{stage}/step": step, **values})

    def _show(self, stage: str, step: int, metrics: dict[str, float], times: dict[str, float]) -> None:
        figures = "  ".join(f"{name} {metrics[name]:.3g}" for name in SHOWN if name in metrics)
        spent = " ".join(f"{name} {seconds:.1f}s" for name, seconds in times.items() if seconds >= 0.05)
        left = self._eta.left(stage, step + 1)
        without = f", without {', '.join(left[1])}" if left and left[1] else ""
        run = "" if left is None else f"run: about {about(left[0])} left{without}"
        if self._progress is not None:
            progress, bar = self._progress
            progress.update(bar, completed=step + 1, figures=f"{run}  {figures}  [dim]{spent}[/dim]")
        elif self.config.progress and time.monotonic() - self._shown > 10:
            self._shown = time.monotonic()
            self.console.print(f"{stage} step {step + 1}: {figures}  {spent}  {run}".rstrip(), highlight=False)

    def dump_groups(self, stage: str, step: int, rows: list[dict[str, Any]]) -> None:
        """Write a step's completions to rollouts/<stage>/step-000012.parquet, one row each.

        The file is written while the run goes on: :meth:`wait` waits for it, and raises what went wrong.
        """
        path = self.run_dir / "rollouts" / stage / f"step-{step:06d}.parquet"
        if self.config.keep_rollouts is not None:
            for old in rollout_files(self.run_dir, stage, None):
                if step_of(old) <= step - self.config.keep_rollouts:
                    old.unlink()
        self._files.start(lambda: write_rows(path, rows))

    def wait(self) -> None:
        """Wait until the rollout files are on the disk.

        Raises:
            OSError: if one could not be written.
        """
        self._files.wait()

    # --- resume ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where metrics.jsonl ends, and the W&B run. What comes before is on the disk, so that it stays longer than
        the record of it."""
        self.wait()
        position = 0
        if self.path.is_file():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
                position = file.seek(0, os.SEEK_END)
        return {"position": position, "wandb_id": self.wandb_id}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Cut metrics.jsonl back to a state, so that repeated steps are not in it twice.

        Raises:
            UserError: if that would cut a line in two.
        """
        position, found = state["position"], self.path.read_bytes() if self.path.is_file() else b""
        if position > len(found):  # a power cut, or a full disk
            position = found.rfind(b"\n") + 1
            self.console.print(
                f"[yellow]{escape(str(self.path))} has been cut: lines of finished steps are gone[/yellow]"
            )
        elif position and found[position - 1 : position] != b"\n":
            raise UserError(
                f"no line of {self.path} ends at byte {position}, where the checkpoint says that the file ended; "
                f"restore the file from a copy, or start from scratch with resume=restart"
            )
        if len(found) > position:
            os.truncate(self.path, position)
        self._logged = self._count()

    def drop(self, stage: str, done: int = 0) -> None:
        """Remove what a stage has left after its first ``done`` steps, because it runs them again: rollout files, and
        if it starts from scratch its lines, too. A half-written last line is removed with them."""
        self.wait()
        for path in rollout_files(self.run_dir, stage, None):
            if step_of(path) >= done:
                path.unlink()
        if done or not self.path.is_file():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and _stage_of(line) != stage]
        if len(kept) < len(lines):
            write_bytes(self.path, b"".join(kept))
        self._logged = len(kept)

    def _count(self) -> int:
        return self.path.read_bytes().count(b"\n") if self.path.is_file() else 0

    # --- places ---------------------------------------------------------------------------------------------------

    def start_wandb(self, run_config: dict[str, Any], wandb_id: str | None) -> None:
        """Open the W&B run, the one of ``wandb_id`` when a run resumes. A failure is printed and does no harm."""
        if self.config.wandb == "disabled":
            return
        mode = self.config.wandb
        if mode == "auto":
            mode = "online" if os.environ.get("WANDB_API_KEY") else "offline"
        self.wandb_id = wandb_id or self.wandb_id
        os.environ.setdefault("WANDB_SILENT", "true")
        try:
            import wandb

            self._wandb = wandb.init(
                project=self.config.project, id=self.wandb_id, name=self.run_dir.name, dir=str(self.run_dir), mode=mode,
                resume="allow", config=run_config, settings=wandb.Settings(init_timeout=30, console="off"),
            )  # fmt: skip
            self._wandb.define_metric("global_step")
            self._wandb.define_metric("*", step_metric="global_step")
            if self._sent >= 0:  # W&B has a count of its own, which offline would start at 0 again
                self._wandb.log({}, step=self._sent + 1, commit=False)
        except Exception as error:
            self.console.print(f"[yellow]W&B is off for this run: {type(error).__name__}: {error}[/yellow]")

    def close(self) -> None:
        """Close what is open."""
        self.wait()
        if self._wandb is not None:
            self._wandb.finish()
            self._wandb = None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; none if there is no file. A last line that a crash cut short is left out.

    Raises:
        UserError: naming file and line, if another line is damaged.
    """
    return read_json_lines(path, _Line, "remove the line", "a line of metrics")


def _stage_of(line: bytes) -> Any:
    """The stage of a line; None for a damaged line."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found.get("stage") if isinstance(found, dict) else None
