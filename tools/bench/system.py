"""``python -m tools.bench.system``: the cost of the system around the engines.

Cold start, from python to the first update; weight sync against a plain copy of the same bytes; calls through Ray; and
how speed scales with sequences in flight, model size, ranks and length. One thread for each engine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from rl.config.schema import ModelConfig, NanoConfig, RolloutConfig, TrainerConfig
from rl.config.stages import OptimConfig, SamplingConfig
from rl.models.nano import ensure_nano

LARGER = NanoConfig(hidden_size=512, layers=8, heads=8, kv_heads=4, head_dim=64, intermediate_size=1536)
"""About 27 M weights."""
COLD = """
import json, sys, time
from pathlib import Path
stage = {"name": "rl", "kind": "grpo", "steps": 1, "prompts_per_step": 8, "tasks": {"age": 1},
         "reward": {"rouge_l": 1.0}, "max_prompt_tokens": 96, "sampling": {"max_tokens": 32}}
from rl.config.compose import load
config = load({"run_dir": sys.argv[1], "curriculum": {"name": "cold", "stages": [stage]},
               "model": {"path": sys.argv[2], "max_length": 256}, "cluster": {"dashboard": False},
               "tracker": {"wandb": "disabled"}})
from rl.job import run
run(config)
"""


def cold_start(folder: Path) -> dict[str, float]:
    """Seconds from the start of python to each mark of a run with one GRPO step, on the nano model after some SFT."""
    run_dir, before = folder / "cold", folder / "before"
    quiet = ["cluster.dashboard=false", "tracker.wandb=disabled", f"run_dir={before}"]
    smoke = [sys.executable, "-m", "rl.main", "+curriculum=smoke", *quiet]
    subprocess.run(smoke, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [sys.executable, "-c", COLD, str(run_dir), str(before / "exports" / "sft")]
    started = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    marks: dict[str, float] = {}
    for line in process.stdout:
        for text, name in (("Ray is up", "Ray is up"), ("actors are ready", "actors are ready")):
            if text in line:
                marks[name] = time.time() - started
    process.wait()
    times = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[0])["time"]
    marks["first rollout"] = marks["actors are ready"] + times["sync"] + times["rollout"] + times["reward"]
    marks["first update"] = marks["first rollout"] + times["train"]
    return marks


def engines(path: Path, model: ModelConfig, ranks: int = 1) -> tuple[Any, Any]:
    """A trainer group and a rollout actor on Ray, named after the process."""
    import ray

    from rl.actors import rollout as rollout_module
    from rl.actors.group import TrainerGroup
    from rl.actors.rollout import RolloutActor, RolloutSpec
    from rl.actors.trainer import TrainerSpec

    spec = RolloutSpec(model, RolloutConfig(threads=1), str(path), "cpu", 0, "shm")
    environment = {"env_vars": rollout_module.environment(spec)}
    rollout = ray.remote(RolloutActor).options(num_cpus=0, runtime_env=environment).remote(spec)
    trainer_spec = TrainerSpec(
        model, TrainerConfig(threads=1, world_size=ranks), str(path), "cpu", 0, 0, "shm",
        f"/dev/shm/themis-bench-{os.getpid()}",
    )  # fmt: skip
    trainer = TrainerGroup(trainer_spec, f"bench-{path.name}-{ranks}", lambda rank: {"num_cpus": 0}, 600)
    trainer.setup()
    ray.get(rollout.ready.remote())
    return trainer, rollout


def median_s(function: Callable[[], Any], rounds: int = 7) -> float:
    """Median wall seconds, the first call dropped."""
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def cpu_of(pids: list[int]) -> float:
    """CPU-seconds used by processes."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def batch_of(sequences: int, length: int) -> Any:
    """Random sequences of one length."""
    from rl.samples import supervised_batch

    rng = np.random.default_rng(0)
    return supervised_batch([(rng.integers(10, 3000, size=length).tolist(), 8) for _ in range(sequences)])


def measure(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures except the cold start; ``say`` gets a line about the progress."""
    import ray

    from cluster.ray_cluster import connect

    found: dict[str, Any] = {}
    models = {"nano": NanoConfig(), "larger": LARGER}
    paths = {name: ensure_nano(shape, 0, 512, folder) for name, shape in models.items()}
    with connect(None, 4, 200, None):
        for name, path in paths.items():
            model = ModelConfig(path=str(path), max_length=512)
            trainer, rollout = engines(path, model)
            size = (path / "model.safetensors").stat().st_size
            published = median_s(lambda: trainer.publish(1))  # noqa: B023
            update = trainer.publish(1)
            taken = median_s(lambda: ray.get(rollout.sync.remote(update)))  # noqa: B023
            say(f"{name}: weights handed over")
            source = np.ones(size, dtype=np.uint8)
            copied = median_s(source.copy)
            found[f"sync {name}"] = {
                "megabytes": round(size / 1e6, 1), "publish_ms": round(published * 1e3, 1),
                "load_ms": round(taken * 1e3, 1), "gb_per_s": round(size / 1e9 / (published + taken), 2),
                "memcpy_gb_per_s": round(size / 1e9 / copied, 2),
            }  # fmt: skip
            pid = ray.get(trainer.actors[0].pid.remote())
            trainer.begin_stage(OptimConfig(lr=1e-9), 1000)
            tokens = 3840 if name == "nano" else 960
            for length in (64, 256, 480):
                batch = batch_of(tokens // length, length)
                trainer.update(batch, None, max_tokens_per_microbatch=4096)
                before = cpu_of([pid])
                for _ in range(3):
                    trainer.update(batch, None, max_tokens_per_microbatch=4096)
                seconds = (cpu_of([pid]) - before) / 3
                found.setdefault(f"training {name}, tokens a CPU-second by length", {})[length] = round(
                    len(batch.input_ids) / seconds
                )
            for flight in (1, 8, 64) if name == "nano" else (64,):
                prompts = [[20 + i, 30, 40] for i in range(flight)]
                pid = ray.get(rollout.pid.remote())
                sampling = SamplingConfig(max_tokens=64, min_tokens=64)
                ray.get(rollout.generate.remote(prompts, 1, sampling, 0))
                before = cpu_of([pid])
                for seed in range(3):
                    ray.get(rollout.generate.remote(prompts, 1, sampling, seed))
                seconds = (cpu_of([pid]) - before) / 3
                key = f"sampling {name}, tokens a CPU-second by sequences in flight"
                found.setdefault(key, {})[flight] = round(flight * 64 / seconds)
            if name == "nano":
                step = batch_of(256, 96)
                call = median_s(lambda: ray.get(rollout.pid.remote()), 50)  # noqa: B023
                there = median_s(lambda: ray.get(ray.put(step)))  # noqa: B023
                found["Ray, milliseconds"] = {
                    "one call": round(1e3 * call, 2), "256 x 96 tokens there and back": round(1e3 * there, 2),
                }  # fmt: skip
            say(f"{name}: trained and sampled")
            trainer.stop()
            ray.kill(rollout)
        found["ranks, tokens a second (one thread each)"] = {}
        for ranks in (1, 2):
            trainer, rollout = engines(paths["larger"], ModelConfig(path=str(paths["larger"]), max_length=512), ranks)
            trainer.begin_stage(OptimConfig(lr=1e-9), 1000)
            batch = batch_of(16, 128)
            seconds = median_s(lambda: trainer.update(batch, None, max_tokens_per_microbatch=1024), 3)  # noqa: B023
            found["ranks, tokens a second (one thread each)"][ranks] = round(len(batch.input_ids) / seconds)
            say(f"{ranks} ranks: trained")
            trainer.stop()
            ray.kill(rollout)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.system", description="What the system costs.")
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    chosen = parser.parse_args(argv)
    console = Console()
    with tempfile.TemporaryDirectory() as folder, console.status("cold start") as status:
        found = {"cold start, seconds": {k: round(v, 1) for k, v in cold_start(Path(folder)).items()}}
        found |= measure(Path(folder), status.update)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("what")
    table.add_column("figures")
    for name, values in found.items():
        table.add_row(name, ", ".join(f"{key} {value}" for key, value in values.items()))
    console.print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
