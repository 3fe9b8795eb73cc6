"""Running the stages of a curriculum, in order, each at most once, across crashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.errors import Lost
from curricula.gates import unmet
from rl.actors.group import TrainerLost
from rl.config.gate_conditions import conditions, last_evaluation
from rl.config.stages import EvaluateStage, GRPOStage, PerplexityStage, Stage
from rl.driver.runtime import Runtime
from rl.errors import UserError
from rl.records.losses import NOTHING
from rl.records.results import read
from rl.stages import evaluate, grpo, mid_training, perplexity, rejection, sft

STAGES: dict[str, Callable[[Any, Runtime], None]] = {
    "mid_training": mid_training.run,
    "perplexity": perplexity.run,
    "sft": sft.run,
    "rejection": rejection.run,
    "grpo": grpo.run,
    "evaluate": evaluate.run,
}
"""The function that runs each kind of stage."""

TRAINER_RESTARTS = 3
"""How many times a run may lose its trainer group."""


def run_curriculum(runtime: Runtime) -> None:
    """Run every stage that is not done. A lost trainer is replaced; the stage continues from its last checkpoint.

    Raises:
        Lost: if it was lost more often than it may be.
    """
    lost, whole = 0, True
    for stage in runtime.config.curriculum.stages:
        while not runtime.manifest.stage(stage.name).get("done"):
            try:
                if not whole:
                    runtime.lineage.restart_lost()
                    whole = True
                if isinstance(stage, GRPOStage) and not may_begin(stage, runtime):
                    break
                run_stage(stage, runtime)
            except TrainerLost as error:
                lost, whole = lost + 1, False
                if lost > TRAINER_RESTARTS:
                    raise Lost(error.who, f"{error.why}; it is the {lost}th loss, more than allowed") from error
                tell(error, stage, runtime)


def tell(error: TrainerLost, stage: Stage, runtime: Runtime) -> None:
    """Tell the loss of a trainer or reference rank, and from where its stage goes on."""
    checkpoint = runtime.checkpoints.latest(stage.name)
    start, (where, step) = checkpoint.step if checkpoint else 0, runtime.tracker.place
    found = runtime.fleet.watch.of(error.handle) if error.handle is not None else None
    again = ""
    if where == stage.name and step is not None and not isinstance(stage, EvaluateStage | PerplexityStage):
        again = f"; steps {start + 1} to {step + 1} of stage {stage.name} are made again"
    runtime.fleet.tell(
        error.who,
        error.why,
        f"replaced; stage {stage.name} goes on "
        + (f"from its checkpoint after step {start}" if checkpoint else "from its start"),
        NOTHING + again,
        pid=found and found.pid,
        host=found and found.host,
    )


def may_begin(stage: GRPOStage, runtime: Runtime) -> bool:
    """Whether the gates let a stage begin; one that has begun continues. A stage left out is recorded as skipped.

    Raises:
        UserError: if the stage may not begin and the gates say that the run stops then.
    """
    before = last_evaluation(runtime.config.curriculum.stages, stage.name)
    if before is None or runtime.checkpoints.latest(stage.name) is not None:
        return True
    found = next((result for result in read(runtime.run_dir / "results.json") if result.stage == before.name), None)
    reason = unmet(conditions(stage.gates.enter), found.metrics if found else {})
    if reason is None:
        return True
    reason = f"{reason} (evaluation {before.name})"
    if stage.gates.otherwise == "stop":
        raise UserError(
            f"stage {stage.name} may not begin: {reason}. What came before it is kept: change gates.enter and go on "
            f"with resume=force, or change the stages before it and start from scratch with resume=restart"
        )
    runtime.tracker.console.print(f"[yellow]stage {stage.name} is left out: {reason}[/yellow]")
    runtime.manifest.record(stage.name, done=True, skipped=reason)
    return False


def run_stage(stage: Stage, runtime: Runtime) -> None:
    """Run one stage and record that it is done; a training stage leaves a Hugging Face export.

    What a stage has logged counts only with a record of it: that it is done, or a checkpoint, which says how far the
    log counts. A stage without one starts from scratch, and so does its part of the log.
    """
    if runtime.checkpoints.latest(stage.name) is None:
        runtime.tracker.drop(stage.name)
    if isinstance(stage, EvaluateStage | PerplexityStage):
        runtime.lineage.load_before(stage.name)
        STAGES[stage.kind](stage, runtime)
        runtime.manifest.record(stage.name, done=True)
        return
    STAGES[stage.kind](stage, runtime)
    export = Path("exports") / stage.name
    runtime.trainer.call("export", str((runtime.run_dir / export).resolve()))
    runtime.lineage.end_training(stage.name)
    runtime.manifest.record(stage.name, done=True, export=str(export))
    if runtime.config.trainer.keep == "needed":
        runtime.lineage.drop_unneeded(stage.name)
