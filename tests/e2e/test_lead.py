"""From judgments to a policy: a synthesis with the scripted teacher, and the curriculum that trains on its files."""

import json
import subprocess
import sys

import pytest

from curricula.records import read_demonstrations, read_prompts
from tests.conftest import ROOT
from tests.e2e.catalogue import hold_to_catalogue
from tests.rl.synthesis import runs
from tools.scripted_server import Server
from tools.scripted_teacher import reply


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_curriculum_goes_from_judgments_to_a_policy(tmp_path):
    made, run_dir = tmp_path / "made", tmp_path / "run"
    with Server(reply) as server:
        runs.run(made, server.url)
    quiet = ("cluster.dashboard=false", "tracker.wandb=disabled")
    command = [sys.executable, "-m", "rl.main", "+curriculum=lead", f"data_from={made}", f"run_dir={run_dir}", *quiet]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=2300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results = json.loads((run_dir / "results.json").read_text())
    assert [result["after"] for result in results] == ["sft", "rejection", "grpo"]
    questions = {prompt.messages[-1]["content"] for prompt in read_prompts(made / "grpo.jsonl")}
    for path in sorted((run_dir / "demonstrations" / "rejection").iterdir()):
        assert {one.messages[-1]["content"] for one in read_demonstrations(path)} <= questions
    assert {"answers/kept", "loss", "task/grpo.jsonl/accuracy"} <= hold_to_catalogue(run_dir)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert {str(made / name) for name in ("sft.jsonl", "grpo.jsonl", "corpus.jsonl")} <= manifest["data"].keys()
