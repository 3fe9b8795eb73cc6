"""Running the stages of a curriculum, in order, each at most once, across crashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rl.actors.group import TrainerLost
from rl.config.stages import EvaluateStage, Stage
from rl.runtime import Runtime
from rl.stages import evaluate, grpo, mid_training, sft

STAGES: dict[str, Callable[[Any, Runtime], None]] = {
    "mid_training": mid_training.run,
    "sft": sft.run,
    "grpo": grpo.run,
    "evaluate": evaluate.run,
}
"""How each kind of stage is run."""

TRAINER_RESTARTS = 3
"""How often a run may lose its trainer group."""


def run_curriculum(runtime: Runtime) -> None:
    """Run every stage not done yet. A lost trainer is replaced, and its stage goes on from its last checkpoint."""
    lost = 0
    for stage in runtime.config.curriculum.stages:
        while not runtime.manifest.stage(stage.name).get("done"):
            try:
                run_stage(stage, runtime)
            except TrainerLost as error:
                lost += 1
                if lost > TRAINER_RESTARTS:
                    raise
                runtime.tracker.console.print(f"[yellow]{error}; starting the trainer again[/yellow]")
                runtime.restart_trainer()


def run_stage(stage: Stage, runtime: Runtime) -> None:
    """Run one stage and record that it is done; a training stage leaves a Hugging Face export."""
    if isinstance(stage, EvaluateStage):
        runtime.load_weights_before(stage.name)
        STAGES[stage.kind](stage, runtime)
        runtime.manifest.record(stage.name, done=True, tracker=runtime.tracker.state_dict())
        return
    STAGES[stage.kind](stage, runtime)
    export = Path("exports") / stage.name
    runtime.trainer.call("export", str((runtime.run_dir / export).resolve()))
    runtime.weights_from = stage.name
    runtime.manifest.record(stage.name, done=True, export=str(export))
