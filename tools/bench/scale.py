"""``python -m tools.bench.scale``: what the driver costs as engines and ranks grow, with actors that sleep.

The driver, Ray, placement, rewards, the stream of groups and the log are the real ones. Rollout engines and trainer
ranks are stand-ins in processes of their own: they sleep for given times and answer with made-up tokens. What a step
takes longer than their sleep is overhead: of the driver, of Ray, and of this machine, on whose cores all of it runs.
Prompts of a step grow with the engines.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from rl.actors.rollout import RolloutActor
from rl.actors.trainer import TrainerActor
from rl.samples import Completion, TokenBatch
from rl.weights.checks import Probe
from rl.weights.relay import sizes
from rl.weights.transfer import WeightUpdate

SHAPES = ("1x1", "8x16", "64x128")
"""Rollout engines x trainer ranks."""
PROMPTS, SAMPLES, TOKENS = 8, 8, 256
"""Prompts of an engine in a step, completions of each, and their tokens."""
STEPS = 5
SAMPLE_S, TRAIN_S, SYNC_S = 4.0, 2.0, 0.5
"""Seconds of a step: sampling of an engine, training of all ranks, loading of weights. Chosen, not measured."""
ROOT = Path(__file__).resolve().parents[2]


class SleepingRollout(RolloutActor):
    """Finishes its requests one after the other, in :data:`SAMPLE_S` for those of a step."""

    def __init__(self, spec: Any) -> None:
        self.spec, self.version, self.free = spec, 0, 0.0
        self.due: dict[str, float] = {}
        self.draw = np.random.default_rng(spec.seed)

    def ready(self) -> float:
        """At once."""
        return 0.0

    def submit(self, requests: Sequence[tuple[str, list[int]]], n: int, sampling: Any, seed: int | None = None) -> None:
        """Take requests."""
        if seed is not None:
            self.due.clear()
        for uid, _ in requests:
            self.free = max(self.free, time.monotonic()) + SAMPLE_S / PROMPTS
            self.due.setdefault(uid, self.free)

    def collect(self, at_least: int, patience_s: float | None = None) -> list[tuple[str, list[Completion]]]:
        """Sleep until so many are due."""
        order = sorted(self.due, key=lambda uid: self.due[uid])
        wanted = order[: min(at_least, len(order))]
        if wanted:
            rest = self.due[wanted[-1]] - time.monotonic()
            time.sleep(max(0.0, rest if patience_s is None else min(rest, patience_s)))
        now = time.monotonic()
        return [(uid, self._answer()) for uid in order if self.due[uid] <= now and self.due.pop(uid)]

    def _answer(self) -> list[Completion]:
        ids = self.draw.integers(10, 1000, (SAMPLES, TOKENS))
        texts = ["<think>甲</think><answer>乙</answer>", "乙"]  # of unequal reward
        return [
            Completion(one, np.full(TOKENS, -1.0, np.float32), texts[number % 2], "stop", self.version)
            for number, one in enumerate(ids)
        ]

    def sync(self, update: WeightUpdate) -> float:
        """Sleep as an engine that loads weights."""
        time.sleep(SYNC_S)
        self.version = update.version
        return SYNC_S


class SleepingTrainer(TrainerActor):
    """Sleeps for its share of the tokens that it is given."""

    def setup(self, address: str, port: int) -> float:
        """Build nothing."""
        return 0.0

    def begin_stage(self, optim: Any, total_updates: int) -> None:
        """Nothing to begin."""

    def accumulate(self, batch: TokenBatch, algorithm: Any, **_: Any) -> None:
        """Sleep for a part of a step."""
        step = SAMPLES * PROMPTS * int(os.environ["THEMIS_SCALE_ENGINES"])
        time.sleep(TRAIN_S * (len(batch.offsets) - 1) / step)

    def step(self) -> dict[str, float]:
        """Made-up metrics."""
        return {"loss": 0.0, "grad_norm": 1.0, "ratio": 1.0, "entropy": 1.0}

    def publish(self, version: int) -> tuple[WeightUpdate, Probe]:
        """Nothing to hand over."""
        return WeightUpdate(version, {}), Probe([], np.zeros(0, np.float32))

    def save(self, folder: str) -> dict[str, int]:
        """A file of each rank, and what is there when all have theirs."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, f"rank-{self.spec.rank:04d}").write_text("0")
        while len(list(Path(folder).glob("rank-*"))) < self.spec.trainer.world_size:
            time.sleep(0.05)
        return dict(sizes(Path(folder)))

    def load(self, folder: str, weights_only: bool) -> None:
        """Nothing to load."""

    def export(self, folder: str) -> None:
        """The base model."""
        if self.spec.rank == 0:
            shutil.copytree(self.spec.path, folder, dirs_exist_ok=True)


def measure(engines: int, ranks: int, folder: Path) -> dict[str, float]:
    """A run of so many sleepers in this process: seconds to its first step, and medians of its later steps."""
    from rl.config.compose import load
    from rl.job import open_cluster, run
    from rl.records.tracking import Tracker

    stage = {
        "name": "rl", "kind": "grpo", "steps": STEPS, "prompts_per_step": PROMPTS * engines,
        "samples_per_prompt": SAMPLES, "tasks": {"age": 1.0}, "reward": {"format": 1.0}, "max_prompt_tokens": 96,
        "sampling": {"max_tokens": TOKENS}, "optim": {"lr": 1e-4},
    }  # fmt: skip
    os.environ.update(THEMIS_SCALE_ENGINES=str(engines), RAY_prestart_worker_first_driver="0")
    config = load(
        {
            "run_dir": str(folder / "run"),
            "curriculum": {"name": "scale", "stages": [stage]},
            "model": {"max_length": 512},
            "trainer": {"world_size": ranks, "threads": 1, "checkpoint_every": 1000, "device": "cpu"},
            "rollout": {"replicas": engines, "threads": 1},
            "cluster": {
                "placement": "split", "num_cpus": engines + ranks, "dashboard": False, "address": "local",
                "placement_timeout_s": 600, "object_store_mb": 1000,
            },
            "tracker": {"wandb": "disabled", "dump_rollouts": False},
        }
    )  # fmt: skip
    used, began = [], time.monotonic()

    def log(tracker: Any, stage: str, number: int, *others: Any) -> None:
        used.append((time.monotonic(), time.process_time()))
        original(tracker, stage, number, *others)

    original = Tracker.log
    with (
        patch("rl.driver.fleet.RolloutActor", SleepingRollout),
        patch("rl.actors.group.TrainerActor", SleepingTrainer),
        patch.object(Tracker, "log", log),
        open_cluster,
    ):
        run(config)
    wall, cpu = (np.diff([one[place] for one in used]) for place in (0, 1))
    return {"start_s": used[0][0] - began, "step_s": statistics.median(wall), "cpu_s": statistics.median(cpu)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every shape in a process of its own and show a table."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.scale", description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), metavar="ENGINESxRANKS")
    parser.add_argument("--inside", nargs=2, type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.inside:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            engines, ranks = chosen.inside
            print("@@" + json.dumps(measure(engines, ranks, Path(folder))))
        return 0
    table = Table(title="Driver and actors that sleep", box=box.SIMPLE_HEAD)
    for column in ("engines", "ranks", "groups/step", "first step after s", "step s", "driver CPU-s/step"):
        table.add_column(column, justify="right")
    for shape in chosen.shapes:
        engines, ranks = shape.split("x")
        command = [sys.executable, "-m", "tools.bench.scale", "--inside", engines, ranks]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        found = [line for line in answer.stdout.splitlines() if line.startswith("@@")]
        if not found:
            print(answer.stdout[-2000:] + answer.stderr[-2000:], file=sys.stderr)
            return 1
        one = json.loads(found[-1][2:])
        table.add_row(
            engines,
            ranks,
            str(PROMPTS * int(engines)),
            *(f"{one[name]:.2f}" for name in ("start_s", "step_s", "cpu_s")),
        )  # fmt: skip
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
