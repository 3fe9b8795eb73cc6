"""``python -m tools.bench.overlap``: the share of waiting in a step, by mode, with a long tail of generation times.

The driver is the real one, on real Ray. Rollout, reward and trainer are actors that sleep for calibrated times, so that
only the schedule is measured. Step times are compared with the critical path: the time of the same schedule if calls
took no time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import ray
from rich import box
from rich.console import Console
from rich.table import Table

from cluster.health import Supervised
from cluster.ray_cluster import connect
from curricula.tasks import make_prompts
from rewards.verdict import Verdict
from rl.config.compose import load
from rl.config.stages import GRPOStage
from rl.device import CPU
from rl.driver.runtime import PARTS, Runtime
from rl.models.chat import load_tokenizer
from rl.records.checkpoint import Checkpoints
from rl.records.manifest import Manifest
from rl.records.tracking import Tracker
from rl.samples import Completion
from rl.stages import grpo
from tools.bench.models import nano

GROUPS, SAMPLES, STEPS = 16, 4, 8
REWARD_S, TRAIN_S, STEP_S, SYNC_S = 0.05, 0.05, 0.05, 0.02
"""Seconds of a scoring call, of training on one group, of an optimizer step, of a weight transfer."""
MODES = {"none": 0, "periodic": 0, "async": 1}
console = Console()


def generation_s(number: int) -> float:
    """Log-normal with a long tail: the median group takes 0.25 s, the slowest of a step several times that."""
    return float(np.clip(np.random.default_rng(number).lognormal(np.log(0.25), 0.7), 0.05, 2.0))


class SleepingRollout:
    """Answers each request after its time, all requests in parallel."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.lengths: dict[str, int] = {}
        self.version = 0

    def submit(self, requests: list[Any], n: int, sampling: Any, seed: int | None) -> None:
        """Note when each request will be done."""
        for uid, _ in requests:
            self.due[uid] = time.monotonic() + generation_s(int(uid.split("-")[1]))

    def collect(self, at_least: int, patience_s: float | None) -> list[Any]:
        """Sleep until enough are done."""
        if not self.due:
            return []
        order = sorted(self.due.items(), key=lambda item: item[1])
        until = order[min(at_least, len(order)) - 1][1]
        time.sleep(max(0.0, min(until - time.monotonic(), patience_s or 1e9)))
        done = [uid for uid, at in order if at <= time.monotonic()]
        for uid in done:
            del self.due[uid]
        one = [Completion(np.ones(4, dtype=np.int64), np.zeros(4, np.float32), "x", "stop", self.version)] * SAMPLES
        return [(uid, one) for uid in done]

    def sync(self, version: int) -> None:
        """Take over weights."""
        self.version = version


class SleepingReward:
    """Scores after a fixed time."""

    def score(self, samples: list[Any], weights: dict[str, float], patience_s: float | None = None) -> list[Verdict]:
        """Verdicts that differ inside a group."""
        time.sleep(REWARD_S)
        return [Verdict(float(i % SAMPLES), parts={"accuracy": 1.0}) for i, _ in enumerate(samples)]

    def losses(self) -> list[str]:
        """Nothing is ever lost here."""
        return []


class SleepingTrainer:
    """In place of a trainer group."""

    def call(self, *_: Any, **__: Any) -> None:
        """Loading and saving take no time here."""

    def begin_stage(self, *_: Any) -> None:
        """Nothing to build."""

    def accumulate(self, batch: Any, *_: Any) -> None:
        """Train on groups."""
        time.sleep(TRAIN_S * len(batch) / SAMPLES)

    def step(self, *_: Any) -> dict[str, float]:
        """Update the weights."""
        time.sleep(STEP_S)
        return {"loss": 0.0, "grad_norm": 1.0}


class SleepingWeights:
    """In place of the weight sync."""

    def __init__(self, rollouts: list[Supervised]) -> None:
        self.rollouts, self.version = rollouts, 0

    def changed(self) -> None:
        """Weights move at every step anyway."""

    def push(self) -> None:
        """Move weights."""
        self.version += 1
        time.sleep(SYNC_S)
        for actor in self.rollouts:
            actor.call("sync", self.version, timeout_s=60)


def measure(mode: str, folder: Path) -> dict[str, Any]:
    """Step times and waiting time of a mode, from the tracker."""
    stage = {
        "name": "rl", "kind": "grpo", "steps": STEPS, "prompts_per_step": GROUPS, "samples_per_prompt": SAMPLES,
        "data": str(folder / "prompts.jsonl"), "max_prompt_tokens": 400,
    }  # fmt: skip
    prompts = make_prompts("age", "train", 20, seed=0)
    (folder / "prompts.jsonl").write_text("\n".join(json.dumps(p.to_json(), ensure_ascii=False) for p in prompts))
    config = load({
        "run_dir": str(folder / mode), "curriculum": {"name": "overlap", "stages": [stage]},
        "rollout": {"overlap": mode, "max_staleness": max(1, MODES[mode])}, "trainer": {"checkpoint_every": 1000},
        "tracker": {"wandb": "disabled", "progress": False, "dump_rollouts": False},
    })  # fmt: skip
    rollouts = [Supervised("rollout/0", SleepingRollout, (), {"num_cpus": 0}, 0)]
    rewards = [Supervised("reward/0", SleepingReward, (), {"num_cpus": 0, "max_concurrency": 8}, 0)]
    fleet: Any = SimpleNamespace(
        trainer=SleepingTrainer(), reference=None, rollouts=rollouts, rewards=rewards, judges=[], takes_turns=False,
        weights=SleepingWeights(rollouts), device=CPU, tell=lambda *loss: None,
    )  # fmt: skip
    tracker = Tracker(folder / mode, config.tracker, console)
    manifest = Manifest.open(folder / mode, config)
    tokenizer = load_tokenizer(str(nano(folder)), False)
    runtime = Runtime(config, tokenizer, manifest, Checkpoints(folder / mode, 1), tracker, fleet)
    only = config.curriculum.stages[0]
    assert isinstance(only, GRPOStage)
    rollouts[0].call("collect", 1, None, timeout_s=60)  # the actor's process is up
    rewards[0].call("score", [], {}, timeout_s=60)
    grpo.run(only, runtime)
    for actor in (*rollouts, *rewards):
        actor.stop()
    times = [json.loads(line)["time"] for line in tracker.path.read_text().splitlines()]
    return {
        "step_s": [t["step"] for t in times],
        "rollout_wait_s": statistics.mean(t.get("rollout", 0) + t.get("reward", 0) for t in times[1:]),
        "trainer_wait_s": statistics.mean(t["trainer_wait"] for t in times[1:]),
        "bubble": statistics.mean(t["bubble"] for t in times[1:]),
    }


def critical_path(mode: str) -> list[float]:
    """Seconds of each step if calls took no time, with the same rule for issuing prompts and the same parts."""
    staleness, clock, drawn, steps = MODES[mode], 0.0, 0, []
    scored: dict[int, float] = {}
    issued_at: dict[int, int] = {}
    for version in range(STEPS):
        began = clock
        clock += SYNC_S
        target = min(version + 1 + staleness, STEPS) * GROUPS
        fresh = {number: clock + generation_s(number) for number in range(drawn, target)}
        issued_at |= dict.fromkeys(fresh, version)
        drawn = max(drawn, target)
        ends = sorted(fresh.values())
        size = {"none": len(ends), "periodic": -(-GROUPS // PARTS), "async": 1}[mode]
        for number, end in fresh.items():  # an engine answers when all of a part is done
            place = ends.index(end)
            scored[number] = ends[min(len(ends), (place // size + 1) * size) - 1] + REWARD_S
        due = {number for number in scored if issued_at[number] <= version - staleness}
        others = sorted(scored.keys() - due, key=scored.__getitem__)
        for number in sorted([*due, *others[: GROUPS - len(due)]], key=scored.__getitem__):
            clock = max(clock, scored.pop(number)) + TRAIN_S
        clock += STEP_S
        steps.append(clock - began)
    return steps


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table of the modes."""
    argparse.ArgumentParser(prog="python -m tools.bench.overlap", description=str(__doc__)).parse_args(argv)
    table = Table(title="Overlap with a long tail of generation times", box=box.SIMPLE_HEAD)
    for column in ("mode", "step s", "critical path s", "ratio", "rollout_wait s", "trainer_wait s", "bubble"):
        table.add_column(column, justify="left" if column == "mode" else "right")
    with tempfile.TemporaryDirectory() as folder, connect(None, 2, 100, None):
        for mode in MODES:
            found, ideal = measure(mode, Path(folder)), critical_path(mode)
            real, best = statistics.mean(found["step_s"][1:]), statistics.mean(ideal[1:])
            table.add_row(
                mode, f"{real:.3f}", f"{best:.3f}", f"{real / best:.3f}", f"{found['rollout_wait_s']:.3f}",
                f"{found['trainer_wait_s']:.3f}", f"{found['bubble']:.2f}",
            )  # fmt: skip
        ray.shutdown()
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
