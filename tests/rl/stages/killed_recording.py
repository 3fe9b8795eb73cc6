"""A curriculum of three stages that is killed between the last line of one and the record that it is done."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

from rich.console import Console

from rl import curriculum
from rl.config.schema import TrackerConfig
from rl.config.stages import EvaluateStage, PerplexityStage, SFTStage
from rl.records.checkpoint import Checkpoints
from rl.records.manifest import Manifest
from rl.records.results import EvalResult, save
from rl.records.tracking import Tracker

KINDS = {"evaluate": EvaluateStage, "perplexity": PerplexityStage, "sft": SFTStage}


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def start(run_dir, doomed, kind, moment):
    """Run the curriculum, or go on with it, and die in the stage ``doomed`` at a moment."""
    run_dir.mkdir(exist_ok=True)
    path = run_dir / "manifest.json"
    manifest = Manifest(path, json.loads(path.read_text()) if path.is_file() else {"stages": {}})
    tracker = Tracker(run_dir, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    stages = [
        KINDS[kind].model_construct(name=name, kind=kind, steps=2)
        for name, kind in (("before", "evaluate"), ("middle", kind), ("after", "evaluate"))
    ]

    def work(stage, runtime):
        for step in range(2 if stage.kind == "sft" else 1):
            tracker.log(stage.name, step, {"accuracy": 0.5})
            tracker.dump_groups(stage.name, step, [{"uid": "u", "parts": {}, "meta": {}}])
        tracker.wait()
        if stage.kind == "evaluate":
            save(run_dir / "results.json", EvalResult(stage.name, "base", "test", {}, {}))
        if (stage.name, moment) == (doomed, "logged"):
            with tracker.path.open("a") as file:
                file.write('{"stage": "half')  # of a line
            die()

    def write(write=manifest.write):
        if moment == "recorded" and manifest.content["stages"].get(doomed, {}).get("done"):
            die()
        write()

    manifest.write = write
    curriculum.STAGES = dict.fromkeys(KINDS, work)
    runtime = SimpleNamespace(
        config=SimpleNamespace(curriculum=SimpleNamespace(stages=stages), trainer=SimpleNamespace(keep="all")),
        run_dir=run_dir, manifest=manifest, tracker=tracker, checkpoints=Checkpoints(run_dir, 2),
        lineage=SimpleNamespace(load_before=lambda name: None, end_training=lambda name: None),
        trainer=SimpleNamespace(call=lambda *arguments: None),
    )  # fmt: skip
    curriculum.run_curriculum(runtime)


def main(runs):
    """Make these starts, each in a process of its own; returns how they ended, and how many lines the doomed stage had
    then."""
    found = []
    for run_dir, doomed, *others in runs:
        child = os.fork()
        if child == 0:
            try:
                start(run_dir, doomed, *others)
                os._exit(0)
            finally:
                os._exit(1)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found.append((ended, Path(run_dir, "metrics.jsonl").read_text().count(f'"{doomed}"')))
    return found
