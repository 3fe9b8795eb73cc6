"""Checkpoints of a run: written aside, moved into place in one step, verified before they are read.

checkpoints/<stage>/step-000020/engine/…     weights, optimizer, schedule (rl.engines.state)
                                driver.json  step, sampler, tracker and counters of the driver
                                files.json   size and checksum of every file
"""

import re
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt
from typing_extensions import TypedDict

from rl.errors import UserError
from rl.files import is_disk_full, read_json, write_json

WRITTEN = ("driver.json", "files.json")
"""Files of a checkpoint; a folder with neither is not a checkpoint."""

SHOWS_S = 30.0
"""How long a network disk may take to show what another machine has written (seconds)."""
DAMAGED = "remove the folder of that checkpoint to resume from the one before it"
Inventory = dict[str, tuple[int, int]]
"""Size and checksum of each file of a checkpoint."""


class Driver(TypedDict):
    """What driver.json holds of the checkpoint itself; the rest is of the loop that saved it."""

    stage: str
    step: NonNegativeInt
    score: float | None


_NAME = re.compile(r"step-([0-9]{6,})")


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    stage: str
    step: int

    @property
    def engine(self) -> Path:
        """Folder of the training engine's state."""
        return self.path / "engine"


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, run_dir: Path, keep_last: int) -> None:
        self.root = run_dir / "checkpoints"
        self.keep_last = keep_last

    def save(
        self,
        stage: str,
        step: int,
        write_engine: Callable[[Path], Sequence[Mapping[str, int]] | None],
        driver: dict[str, Any],
        score: float | None,
    ) -> Checkpoint:
        """Write a checkpoint after ``step`` steps of a stage, then drop old ones.

        The last ``keep_last`` of the stage stay, and the one with the highest ``score``.

        Args:
            stage: the stage.
            step: number of steps that were made.
            write_engine: writes the engine's part into a folder; gives names and sizes of the files that each rank sees
                there afterwards, None if there are no ranks.
            driver: the driver's part.
            score: of the weights.

        Raises:
            UserError: if the disk is full, something else is in its place, or a rank wrote to another disk; what was
                written is removed and the checkpoints before it stay.
        """
        final = self.root / stage / f"step-{step:06d}"
        partial = final.with_name(final.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        if final.exists() and Checkpoint(final, stage, step) not in self._complete(stage):
            raise UserError(
                f"{final} is not a checkpoint, but it is where that of stage {stage} after step {step} must go; "
                f"move it away and run the same command again"
            )
        try:
            partial.mkdir(parents=True)
            _require_same(partial / "engine", write_engine(partial / "engine") or ())
            write_json(partial / "driver.json", {**driver, "stage": stage, "step": step, "score": score})
            write_json(partial / "files.json", _inventory(partial))
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            if is_disk_full(error):
                raise UserError(
                    f"the disk is full: the checkpoint of stage {stage} after step {step} could not be written to "
                    f"{self.root}; earlier checkpoints are untouched. Free some space and run the same command again"
                ) from error
            raise
        self._prune(stage)
        return Checkpoint(final, stage, step)

    def keep_only(self, stage: str, needed: Checkpoint | None) -> None:
        """Remove the checkpoints of a stage that is done, except one."""
        for checkpoint in self._complete(stage):
            if checkpoint != needed:
                shutil.rmtree(checkpoint.path)

    def latest(self, stage: str, at_most: int | None = None) -> Checkpoint | None:
        """The newest complete checkpoint of a stage, or the newest after no more than ``at_most`` steps."""
        found = [c for c in self._complete(stage) if at_most is None or c.step <= at_most]
        return found[-1] if found else None

    def at(self, stage: str, step: int) -> Checkpoint | None:
        """The checkpoint of a stage after exactly ``step`` steps; None if it is not there."""
        return next((c for c in self._complete(stage) if c.step == step), None)

    def driver(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """The driver's part of a checkpoint, after every file has been verified.

        Raises:
            UserError: if a file is missing, cut short or altered.
        """
        for name, (size, checksum) in self.inventory(checkpoint).items():
            path = checkpoint.path / name
            if not path.is_file():
                problem = "is missing"
            elif path.stat().st_size != size:
                problem = f"has {path.stat().st_size} bytes instead of {size}"
            elif _checksum(path) != checksum:
                problem = "has other content than was written"
            else:
                continue
            raise UserError(
                f"checkpoint {checkpoint.path} is corrupt: {name} {problem}. "
                f"Remove that folder to resume from the checkpoint before it"
            )
        return dict(read_json(checkpoint.path / "driver.json", Driver, DAMAGED))

    def inventory(self, checkpoint: Checkpoint) -> Inventory:
        """Size and checksum of each file of a checkpoint.

        Raises:
            UserError: if the list of them is missing or damaged.
        """
        inventory: Inventory = read_json(checkpoint.path / "files.json", Inventory, DAMAGED)
        if "driver.json" not in inventory:
            raise UserError(f"{checkpoint.path / 'files.json'} is damaged (it does not list driver.json); {DAMAGED}")
        return inventory

    def _complete(self, stage: str) -> list[Checkpoint]:
        """In order of their steps. Other folders among them are the user's: neither read nor removed."""
        found = [
            Checkpoint(folder, stage, int(match[1]))
            for folder in (self.root / stage).glob("step-*")
            if (match := _NAME.fullmatch(folder.name)) and any((folder / name).is_file() for name in WRITTEN)
        ]
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    def _prune(self, stage: str) -> None:
        found = self._complete(stage)
        scores = {c.path: score for c in found if (score := _score(c)) is not None}
        keep = {c.path for c in found[-self.keep_last :]}
        if scores:
            keep.add(max(scores, key=scores.__getitem__))
        for checkpoint in found:
            if checkpoint.path not in keep:
                shutil.rmtree(checkpoint.path)


def _require_same(folder: Path, seen: Sequence[Mapping[str, int]]) -> None:
    """Check that the files which ranks have written can be read here; a network disk may show them a little later."""
    until = time.monotonic() + SHOWS_S
    while True:
        here = {path.name: path.stat().st_size for path in folder.iterdir()}
        lost = [
            (rank, name) for rank, files in enumerate(seen) for name, size in files.items() if here.get(name) != size
        ]
        if not lost:
            return
        if time.monotonic() > until:
            rank, name = lost[0]
            raise UserError(
                f"{folder / name}, as trainer/{rank} sees it, is not there for the driver: they have different disks. "
                f"Give run_dir on a disk that all nodes share"
            )
        time.sleep(0.5)


def _score(checkpoint: Checkpoint) -> float | None:
    """None for one that is damaged, too."""
    try:
        score: float | None = read_json(checkpoint.path / "driver.json", Driver)["score"]
    except UserError:
        return None
    return score


def _inventory(folder: Path) -> Inventory:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, _checksum(path)) for path in files}


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            value = zlib.crc32(block, value)
    return value
