"""The shapes of run that faults are tried on, and the command of each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from rl.config.stages import GRPOStage, Stage

Mode = Literal["none", "periodic", "async"]
MODES: tuple[Mode, ...] = get_args(Mode)
STALENESS = 2
LIMITS = (
    "trainer.checkpoint_every=2",
    # A frozen actor is found by its silence. These are far above what a call takes on a busy machine.
    "trainer.timeout_s=240",
    "rollout.timeout_s=120",
    "reward.timeout_s=60",
    "judge.batch_timeout_s=30",
    "rollout.max_restarts=50",
    "reward.max_restarts=50",
)
"""Keys that change no number."""


@dataclass(frozen=True)
class Variant:
    """One shape of run."""

    mode: Mode
    """``rollout.overlap``."""
    ranks: int
    """Trainer ranks."""
    served: bool = False
    """Whether the judge is a language model that its actor serves, in place of rules."""

    @property
    def name(self) -> str:
        """A word for it, fit for a file name."""
        return f"{self.mode}-{self.ranks}{'-served' if self.served else ''}"

    def command(self, run_dir: Path, judge: Path | None) -> list[str]:
        """The command of a run; ``judge`` is the folder of the judge's model."""
        shape = [f"rollout.overlap={self.mode}", f"trainer.world_size={self.ranks}", "trainer.threads=1"]
        if self.mode == "async":
            shape.append(f"rollout.max_staleness={STALENESS}")
        if self.served:
            shape += ["judge.kind=llm", f"judge.model={judge}", "judge.guided=choice", "judge.max_model_len=4096"]
        quiet = ("cluster.dashboard=false", "tracker.wandb=disabled", "rollout.threads=1")
        return [
            sys.executable, "-m", "rl.main", "+curriculum=chaos", f"run_dir={run_dir}", *quiet, *LIMITS, *shape,
        ]  # fmt: skip


@cache
def stages() -> tuple[Stage, ...]:
    """The stages of the curriculum that the runs have."""
    from omegaconf import OmegaConf
    from pydantic import TypeAdapter

    from rl.config.compose import CONF

    found = OmegaConf.to_container(OmegaConf.load(CONF / "curriculum" / "chaos.yaml"))
    assert isinstance(found, dict)
    return TypeAdapter(tuple[Stage, ...]).validate_python(found["stages"])


def policy_stage() -> GRPOStage:
    """Its GRPO stage."""
    return next(stage for stage in stages() if isinstance(stage, GRPOStage))


def places() -> list[tuple[str, int]]:
    """Stage and step of every line of metrics.jsonl of an unbroken run."""
    return [(stage.name, step) for stage in stages() for step in range(getattr(stage, "steps", 1))]
