"""A process is killed between the last line of a stage and the record that the stage is done; the next one goes on."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

RUN = """
import json, os, signal, sys
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

for run_dir, doomed, kind, moment in json.loads(sys.argv[1]):  # each in a process of its own, without a new import
    child = os.fork()
    if child == 0:
        break
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(ended, Path(run_dir, "metrics.jsonl").read_text().count(f'"{doomed}"'), flush=True)
else:
    sys.exit()
run_dir = Path(run_dir)
run_dir.mkdir(exist_ok=True)
path = run_dir / "manifest.json"
manifest = Manifest(path, json.loads(path.read_text()) if path.is_file() else {"stages": {}})
tracker = Tracker(run_dir, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
kinds = {"evaluate": EvaluateStage, "perplexity": PerplexityStage, "sft": SFTStage}
stages = [
    kinds[kind].model_construct(name=name, kind=kind, steps=2)
    for name, kind in (("before", "evaluate"), ("middle", kind), ("after", "evaluate"))
]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

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

def write(manifest=manifest, write=manifest.write):
    if moment == "recorded" and manifest.content["stages"].get(doomed, {}).get("done"):
        die()
    write()

manifest.write = write
curriculum.STAGES = dict.fromkeys(kinds, work)
runtime = SimpleNamespace(
    config=SimpleNamespace(curriculum=SimpleNamespace(stages=stages), trainer=SimpleNamespace(keep="all")),
    run_dir=run_dir, manifest=manifest, tracker=tracker, checkpoints=Checkpoints(run_dir, 2),
    lineage=SimpleNamespace(load_before=lambda name: None, end_training=lambda name: None),
    trainer=SimpleNamespace(call=lambda *arguments: None),
)
curriculum.run_curriculum(runtime)
"""


def run(*runs):
    """Run curricula of three stages, each in a process of its own; returns how they ended, and how many lines the stage
    had then that its process was to die in."""
    words = [sys.executable, "-c", RUN, json.dumps([[str(folder), *others] for folder, *others in runs])]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return [tuple(map(int, line.split())) for line in found.stdout.splitlines()]


def left(folder):
    """What a run has logged and kept, without what a clock gave."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    results = json.loads((folder / "results.json").read_text())
    rollouts = sorted(str(path.relative_to(folder)) for path in folder.glob("rollouts/*/*"))
    return [{k: v for k, v in line.items() if k != "time"} for line in lines], results, rollouts


@pytest.mark.parametrize("kind", ["evaluate", "perplexity", "sft"])
def test_a_stage_is_logged_once_however_often_it_is_killed(tmp_path, kind):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ends = [("before", "recorded"), ("middle", "logged"), ("middle", "recorded"), ("after", "recorded")]
    runs = [(killed, doomed, kind, moment) for doomed, moment in ends]
    *ended, last, unbroken = run(*runs, *((folder, "none", kind, "") for folder in (killed, whole)))
    steps = 2 if kind == "sft" else 1
    assert ended == [(-9, 1), (-9, steps), (-9, steps), (-9, 1)] and last == unbroken == (0, 0)
    assert left(killed) == left(whole)


def test_steps_that_are_run_again_leave_no_rollouts_of_before(tmp_path):
    from rich.console import Console

    from rl.config.schema import TrackerConfig
    from rl.records.tracking import Tracker

    tracker = Tracker(tmp_path, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    for stage in ("a", "b"):
        for step in range(3):
            tracker.dump_groups(stage, step, [{"uid": "u", "parts": {}, "meta": {}}])
    tracker.drop("b", 1)
    found = sorted(str(path.relative_to(tmp_path / "rollouts")) for path in tmp_path.glob("rollouts/*/*"))
    assert found == [f"a/step-00000{step}.parquet" for step in range(3)] + ["b/step-000000.parquet"]
