"""``python -m tools.replay RUN --step N``: train again on the dumped rollouts of a step, without a rollout engine.

The trainer starts from the newest checkpoint at or before that step, or from the start of the stage, and repeats the
updates of every step up to it from the rollout files. Loss, gradient norm and every other number of the trainer must be
bit-identical to those in metrics.jsonl. So a loss can be debugged without waiting for samples.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from cluster.errors import ClusterError
from curricula.command import command, program
from curricula.prompts import ask
from rl.config.compose import load
from rl.config.derive import batch_numbers
from rl.config.schema import RunConfig
from rl.config.stages import GRPOStage
from rl.errors import UserError
from rl.records.manifest import read_content
from rl.records.rollouts import read_rows
from rl.records.tracking import read_metrics
from rl.samples import Completion, Group

console = Console()


def groups_of(rows: Sequence[dict[str, Any]]) -> list[list[Group]]:
    """The groups of a step from its rollout file, in the parts in which they were trained on."""
    parts: list[list[Group]] = []
    for number, of_part in groupby(rows, key=lambda row: row["part"]):
        assert number == len(parts), "parts are numbered in order"
        parts.append([_group(list(members)) for _, members in groupby(of_part, key=lambda row: row["uid"])])
    return parts


def _group(rows: list[dict[str, Any]]) -> Group:
    completions = [
        Completion(
            np.asarray(row["token_ids"], dtype=np.int64),
            np.asarray(row["log_probs"], dtype=np.float32),
            row["completion"],
            row["finish_reason"],
            row["weight_version"],
            None if row.get("trained") is None else np.asarray(row["trained"], dtype=bool),
        )
        for row in rows
    ]
    first = rows[0]
    scored = first["error"] is None
    return Group(
        first["uid"],
        ask(first["task"], first["prompt"], first["reference"]),
        list(first["prompt_ids"]),
        completions,
        rewards=[row["reward"] for row in rows] if scored else [],
        parts=[row["parts"] for row in rows] if scored else [],
        error=first["error"],
    )


def run_config(run_dir: Path) -> RunConfig:
    """The configuration of a run.

    Raises:
        UserError: if the folder is not a run folder.
    """
    path = run_dir / "manifest.json"
    if not path.is_file():
        raise UserError(f"{run_dir} has no manifest.json; give the folder of a run")
    quiet = {"cluster": {"dashboard": False}, "tracker": {"wandb": "disabled", "progress": False}}
    try:
        return load({**read_content(run_dir)["config"], "run_dir": str(run_dir), **quiet})
    except UserError as error:
        raise UserError(f"the configuration in {path} can't be used; restore it from a copy: {error}") from None


def replay(config: RunConfig, stage: GRPOStage, step: int) -> dict[str, float]:
    """The trainer's metrics of a step, computed again."""
    from cluster.ray_cluster import connect
    from rl.driver.fleet import Fleet
    from rl.driver.runtime import Runtime
    from rl.driver.steps import prepare_trainer
    from rl.models.chat import load_tokenizer
    from rl.models.nano import resolve_model
    from rl.records.checkpoint import Checkpoints
    from rl.records.manifest import Manifest
    from rl.records.tracking import Tracker

    run_dir = Path(config.run_dir)
    path = resolve_model(config.model, config.seed, Path(".cache/models").resolve())
    batch = batch_numbers(config, stage)
    manifest = Manifest(run_dir / "manifest.json", read_content(run_dir))
    with connect(None, config.cluster.num_cpus, config.cluster.object_store_mb, None):
        fleet = Fleet(config, path, sampling=False)
        runtime = Runtime(
            config,
            load_tokenizer(path, config.model.trust_remote_code),
            manifest,
            Checkpoints(run_dir, config.trainer.keep_last),
            Tracker(run_dir, config.tracker, console),
            fleet,
        )
        try:
            if stage.algorithm.kl_coef > 0:
                runtime.lineage.load_reference_before(stage.name)
            checkpoint = runtime.checkpoints.latest(stage.name, at_most=step)
            updates = stage.steps * batch.updates_per_step
            prepare_trainer(runtime, stage.name, stage.optim, updates, checkpoint)
            metrics: dict[str, float] = {}
            for number in range(checkpoint.step if checkpoint else 0, step + 1):
                update = runtime.update(stage, lambda name: nullcontext())
                for part in groups_of(read_rows(run_dir, stage.name, number)):
                    update.add(part)
                metrics = update.finish()
            return metrics
        finally:
            runtime.close()


def compare(run_dir: Path, stage: str, step: int, again: dict[str, float]) -> tuple[Table, bool]:
    """A table of the trainer's numbers then and now, and whether all are equal to the last digit."""
    lines = read_metrics(run_dir / "metrics.jsonl")
    then = next((line for line in lines if (line["stage"], line["step"]) == (stage, step)), None)
    if then is None:
        raise UserError(f"{run_dir}/metrics.jsonl has no line for stage {stage} step {step}; give another --step")
    table = Table(title=f"{stage} step {step}", box=box.SIMPLE_HEAD)
    for column in ("metric", "run", "replay", ""):
        table.add_column(column)
    now = {name: value if math.isfinite(value) else None for name, value in again.items()}  # in the form of the line
    for name, value in now.items():
        table.add_row(name, repr(then.get(name)), repr(value), "" if then.get(name) == value else "[red]differs[/red]")
    return table, all(then.get(name) == value for name, value in now.items())


@command(UserError, ClusterError)
def main(argv: Sequence[str] | None = None) -> int:
    """Replay a step; 1 if a number differs."""
    parser = argparse.ArgumentParser(prog=program("tools.replay"), description="Train on dumped rollouts again.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--stage", help="stage (default: the last GRPO stage)")
    parser.add_argument("--step", type=int, required=True, help="step (0-based)")
    chosen = parser.parse_args(argv)
    config = run_config(chosen.run)
    stages = {stage.name: stage for stage in config.curriculum.stages if isinstance(stage, GRPOStage)}
    name = chosen.stage or next(reversed(stages), "")
    if name not in stages:
        raise UserError(f"{chosen.run} has no GRPO stage {name!r}; it has {', '.join(stages) or 'none'}")
    read_rows(chosen.run, name, chosen.step)
    table, equal = compare(chosen.run, name, chosen.step, replay(config, stages[name], chosen.step))
    console.print(table)
    console.print("bit-identical" if equal else "[red]the replay differs from the run[/red]")
    return int(not equal)


if __name__ == "__main__":
    sys.exit(main())
