"""``from rl import run, load_config``: the command's own code, and cheap to import."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from rl import job, load_config, run
from rl.errors import UserError
from rl.records.manifest import Manifest
from rl.records.results import EvalResult, save
from tests.conftest import ROOT

WORDS = ("curriculum=smoke", "seed=3", "model.nano.layers=2", "run_dir=runs/实验 a")


def test_importing_loads_nothing_else():
    code = "import sys, rl, rewards, rl.evaluation; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    heavy = ("torch", "ray", "vllm", "transformers", "hydra", "omegaconf", "pydantic", "numpy", "rich", "curricula")
    assert "'rl'" in loaded and not [name for name in heavy if f"'{name}'" in loaded]


def test_a_plan_is_that_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "rl.main", *WORDS, "plan=true"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    console = Console(width=120, record=True, file=io.StringIO())
    monkeypatch.setattr(job, "console", console)
    result = run(load_config(*WORDS, "plan=true"))
    assert console.export_text() == done.stdout and str(tmp_path / "runs" / "实验 a") in done.stdout
    assert [stage.name for stage in result.plan.stages] == ["scores", "mid", "sft", "look", "grpo", "eval"]
    assert result.run_dir == tmp_path / "runs" / "实验 a" and not list(tmp_path.iterdir()), "a plan writes nothing"


def test_an_option_of_a_folder_of_the_users(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "ours.yaml").write_text("name: ours\npath: null\nmax_length: 128\n")
    for words in ([f"--config-dir={tmp_path}"], ["--config-dir", str(tmp_path)], [f"hydra.searchpath=[{tmp_path}]"]):
        config = load_config("curriculum=smoke", "model=ours", *words)
        assert config.model.name == "ours" and Path(config.run_dir).name == "smoke-ours-seed0"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "no curriculum is selected"),
        (("curriculum=legl",), "did you mean legal"),
        (("+curriculum=legal", "trainer.thread=2"), "did you mean trainer.threads"),
        (("curriculum=legal", "seed=x"), "seed: .* valid integer"),
        (("curriculum=legal", "seed=1,2", "-m"), "a sweep .* is several runs"),
        (("curriculum=legal", "--cfg", "job"), "--cfg is an option of the command"),
        (("curriculum=legal", "model=hf"), r"model\.path: .* add model\.path=…"),
        (("curriculum=legal", "run_dir=${nothing}"), "nothing"),
    ],
)
def test_a_slip_is_a_sentence(words, why):
    with pytest.raises(UserError, match=why):
        load_config(*words)


@pytest.fixture
def finished(tmp_path):
    """The configuration of a run that has nothing left to do."""
    config = load_config("curriculum=smoke", f"run_dir={tmp_path / 'run'}")
    manifest = Manifest.open(tmp_path / "run", config)
    for stage in config.curriculum.stages:
        manifest.record(stage.name, done=True, **({"export": "exports/grpo"} if stage.name == "grpo" else {}))
    figures = {"age": {"correct": 6.0, "n": 8.0, "format": 1.0, "errors": 0.0}}
    save(tmp_path / "run" / "results.json", EvalResult("eval", "grpo", "dev", figures, {"age": 0.25}))
    return config


def test_a_finished_run_gives_its_results_again(finished, capsys):
    result = run(finished)
    assert "Held-out accuracy" in capsys.readouterr().out
    assert [(one.stage, one.average) for one in result.results] == [("eval", 0.75)] and result.benchmarks == ()
    assert result.exports == {"grpo": Path(finished.run_dir, "exports/grpo")}


def test_another_configuration_is_refused_as_by_the_command(finished):
    with pytest.raises(UserError, match=r"another configuration.*\n.*samples_per_prompt"):
        run(load_config("curriculum=smoke", f"run_dir={finished.run_dir}", "samples_per_prompt=4"))
