"""How far a run has come, and from where the same command goes on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rl.language import Text
from rl.records.checkpoint import Checkpoint, Checkpoints
from rl.report.read import read_run


@dataclass(frozen=True)
class Standing:
    """Where a run stands."""

    stage: str | None
    """The first stage that is not done; None if all are."""
    steps: int | None
    """Its number of steps; None for a kind without steps."""
    logged: int
    """Steps of it that are logged."""
    checkpoint: Checkpoint | None
    """Its newest checkpoint."""

    @property
    def sentence(self) -> Text:
        """From where the same command goes on."""
        if self.stage is None:
            return Text("every stage is done")
        if self.checkpoint is None:
            return Text("the same command goes on from the start of stage {stage}", stage=self.stage)
        values = {"stage": self.stage, "step": self.checkpoint.step, "steps": self.steps}
        if self.steps:
            return Text(
                "the same command goes on from the checkpoint of stage {stage} after step {step} of {steps}", **values
            )
        return Text("the same command goes on from the checkpoint of stage {stage} after step {step}", **values)


def standing(run_dir: Path) -> Standing:
    """Where a run stands.

    Raises:
        UserError: if its manifest or its metrics are damaged.
    """
    checkpoints = Checkpoints(run_dir, 1)
    for stage in read_run(run_dir).stages:
        if not stage.record.get("done"):
            return Standing(stage.name, stage.steps, len(stage.lines), checkpoints.latest(stage.name))
    return Standing(None, None, 0, None)


def command_of(run_dir: Path) -> str:
    """The command that goes on with a run, as far as its folder knows it: with what was given on the command line."""
    try:
        text = (run_dir / "hydra" / "overrides.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return f"python -m rl.main … run_dir={run_dir}"
    given = [line[2:].strip() for line in text.splitlines() if line.startswith("- ")]
    given = [one.strip("'\"") for one in given if not re.match(r"\W*(resume|run_dir)=", one)]
    return " ".join(["python -m rl.main", *given, f"run_dir={run_dir}"])
