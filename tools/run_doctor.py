"""``python -m tools.doctor RUN``: what a run is doing, or what ended it, and what is wrong with its folder."""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from cluster.processes import STOPPED, look
from cluster.waits import FIRST_S
from rl.errors import UserError
from rl.files import RESTORE
from rl.records import parquet
from rl.records.checkpoint import Checkpoints
from rl.records.lock import GONE_S, Left, State, holder_of
from rl.records.losses import read_losses, sentence
from rl.records.rollouts import rollout_files
from rl.records.status import read_status
from rl.report.page import duration
from rl.report.post_mortem import NAME, write_post_mortem
from rl.report.read import read_run
from rl.report.standing import Standing, command_of, standing
from rl.weights.shared import run_id, shared_files
from tools.checkup import Check

GIB = 2**30


def checks(run_dir: Path) -> list[Check]:
    """Every line about a run folder.

    Raises:
        UserError: if it is no run folder.
    """
    if not (run_dir / "manifest.json").is_file():
        raise UserError(f"{run_dir} is not a run folder: it has no manifest.json; a run leaves one at its start")
    damage = list(_damage(run_dir))
    status = _read(read_status, run_dir) or {}
    where = _read(standing, run_dir)
    left, state = holder_of(run_dir)
    found = [_driver(run_dir, left, state, status, where)]
    found += _doing(status, where) if state == "living" else []
    found += [_place(run_dir, where), *_losses(run_dir), *damage]
    found += [_checkpoint(run_dir, where, state), disk(run_dir), _shared_memory(run_dir)]
    if where is not None and where.stage is not None and state != "living":
        found.append(Check("next", "ok", where.sentence, command_of(run_dir)))
    return found


def _read(read: Callable[[Path], Any], run_dir: Path) -> Any:
    """What a file holds; None if it is damaged, which :func:`_damage` reports."""
    try:
        return read(run_dir)
    except UserError:
        return None


def _driver(
    run_dir: Path, left: Left | None, state: State | None, status: dict[str, Any], where: Standing | None
) -> Check:
    """Whether a process is on the folder; how the last one ended."""
    if left is not None and state == "living":
        found = look(left.pid or 0)
        if found is not None and found[0] == STOPPED:
            return Check(
                "driver", "error", f"it runs ({left.who}), but a signal has stopped it", f"kill -CONT {left.pid}"
            )
        return Check("driver", "ok", f"it runs ({left.who})")
    if left is not None and state == "elsewhere" and _age(left.seen) < GONE_S:
        return Check("driver", "ok", f"it runs on another machine or in another container ({left.who})")
    done = where is not None and where.stage is None
    if left is not None:
        ended = f"it ended without a word ({left.who}; last sign of life {_when(left.seen)})"
        if done:
            return Check("driver", "warning", f"{ended}, after the last stage")
        page = _page(run_dir, f"The driver ended without a word ({left.who}), as a process does that is killed.")
        return Check("driver", "error", ended + page, "start it again: see next")
    if done:
        return Check("driver", "ok", "the run is complete, and no process writes here")
    if status.get("ended"):
        page = f"; see {run_dir / NAME}" if (run_dir / NAME).is_file() else ""
        return Check("driver", "error", f"the run ended before its last stage: {status['ended']}{page}", "see next")
    return Check("driver", "warning", "no process writes here, and the run is not complete", "see next")


def _page(run_dir: Path, ended: str) -> str:
    """Write the post-mortem of a driver that could not; where it is, for a sentence."""
    with suppress(OSError, UserError):
        return f"; see {write_post_mortem(run_dir, ended)}"
    return ""


def _doing(status: dict[str, Any], where: Standing | None) -> Iterator[Check]:
    """Who a living run waits for, and what of it is frozen."""
    if status.get("ended", "") is not None:  # none, or that of the start before
        yield Check("waits", "warning", "the run is starting", "look again in a few seconds")
        return
    age = _age(datetime.datetime.fromisoformat(status["written"]))
    if age > GONE_S and (where is None or where.stage is not None):
        yield Check("status", "warning", f"status.json is {duration(age)} old", "the actors may be starting")
    for name in status["frozen"]:
        yield Check("frozen", "error", f"{name}: a signal has stopped a process of it", "it is ended and replaced soon")
    waits = [one for one in status["waiting"] if one["seconds"] >= FIRST_S]
    for one in waits[:3]:
        yield Check("waits", "warning", f"for {duration(one['seconds'])} for {one['who']} to {one['what']}")
    if not waits:
        yield Check("waits", "ok", f"for nobody longer than {FIRST_S:.0f} s")


def _place(run_dir: Path, where: Standing | None) -> Check:
    """Stage, step, and the age of the last line."""
    path = run_dir / "metrics.jsonl"
    last = f"; last line {duration(max(0.0, time.time() - path.stat().st_mtime))} ago" if path.is_file() else ""
    if where is None:
        return Check("stage", "warning", f"unknown{last}")
    if where.stage is None:
        return Check("stage", "ok", f"every stage is done{last}")
    of = f", {where.logged} of {where.steps} steps" if where.steps else ""
    return Check("stage", "ok", f"{where.stage}{of}{last}")


def _losses(run_dir: Path) -> Iterator[Check]:
    losses = _read(read_losses, run_dir) or []
    if losses:
        last = losses[-1]
        yield Check("losses", "warning", f"{len(losses)}; the last at {last['at']}: {sentence(last)}")
    else:
        yield Check("losses", "ok", "none")


def _damage(run_dir: Path) -> Iterator[Check]:
    """Files that can't be read."""
    found = []
    readers: list[Callable[[], Any]] = [lambda: read_run(run_dir), lambda: read_status(run_dir)]
    readers.append(lambda: read_losses(run_dir))
    files = [*rollout_files(run_dir, None, None), *sorted(run_dir.glob("answers/*/*.parquet"))]
    readers += [partial(parquet.check, path, RESTORE) for path in files]
    for read in readers:
        try:
            read()
        except UserError as error:
            found.append(str(error))
    for text in dict.fromkeys(found):
        yield Check("files", "error", text)
    if not found:
        yield Check("files", "ok", "manifest, metrics, results, losses, rollouts and kept answers can be read")


def _checkpoint(run_dir: Path, where: Standing | None, state: State | None) -> Check:
    """The checkpoint that the run goes on from."""
    if where is None or where.stage is None:
        return Check("checkpoint", "ok", "none is needed")
    if where.checkpoint is None:
        return Check("checkpoint", "ok", f"none of stage {where.stage} yet")
    name = f"stage {where.stage} after step {where.checkpoint.step}"
    if state == "living":
        return Check("checkpoint", "ok", name)
    try:
        Checkpoints(run_dir, 1).driver(where.checkpoint)
    except UserError as error:
        return Check("checkpoint", "error", str(error))
    return Check("checkpoint", "ok", f"{name}: every file is as it was written")


def disk(path: Path) -> Check:
    """Free disk where runs are written."""
    free = shutil.disk_usage(path).free / GIB
    detail = f"{free:.1f} GiB free in {path}"
    if free < 1:
        return Check("disk", "error", detail, "free some space, or give run_dir= on another disk")
    return Check("disk", "ok" if free >= 5 else "warning", detail, "" if free >= 5 else "checkpoints may fill it")


def _shared_memory(run_dir: Path) -> Check:
    """What killed starts of this run have left in shared memory on this machine."""
    left = [one for one in shared_files() if one.run == run_id(run_dir) and one.process.state() == "gone"]
    if not left:
        return Check("shared memory", "ok", "nothing is left of killed starts")
    size = sum(one.bytes for one in left) / 2**20
    return Check("shared memory", "warning", f"{size:,.1f} MiB left by killed starts", "the next start removes it")


def _age(moment: datetime.datetime) -> float:
    return max(0.0, (datetime.datetime.now().astimezone() - moment).total_seconds())


def _when(moment: datetime.datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
