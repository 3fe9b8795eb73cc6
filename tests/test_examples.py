"""The examples: each is planned, and its data read; what is cheap is run."""

import json
import runpy
import sys

import pytest

from rl import load_config
from rl.config.schema import RunConfig
from rl.models.chat import load_tokenizer
from rl.models.template import bind
from rl.preflight import require_prompts_fit
from tests.conftest import ROOT
from tests.docs.pages import inline
from tools.scripted_server import Server

FOLDER = ROOT / "examples"


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    """Starts an example in a folder of its own, with further words; gives what it prints, and its variables."""
    monkeypatch.chdir(tmp_path)

    def started(name, *words):
        monkeypatch.setattr(sys, "argv", [name, *words])
        found = runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out, found

    return started


def unwrapped(out):
    """What was printed, however a long path was broken into lines."""
    return "".join(out.split())


def test_own_data_is_planned_and_its_files_can_be_read(start, models, tmp_path):
    out, _ = start("own_data.py", "plan=true")
    assert "test_grpo" in out and f"{tmp_path}/runs/own-data-nano-seed0" in unwrapped(out)
    assert "of the test questions" not in out, "nothing was run"
    config = load_config(f"curriculum={FOLDER / 'own_data.yaml'}")
    require_prompts_fit(config, bind(load_tokenizer(str(models["tied"]))))
    files = [(tmp_path / "own-data" / f"{name}.jsonl").read_text().splitlines() for name in ("train", "test")]
    assert [len(lines) for lines in files] == [24, 8] and not {*files[0]} & {*files[1]}
    answers = [{json.loads(line)["reference"] for line in lines} for lines in files]
    assert answers[1] <= answers[0], "every answer of the test can be learnt"


def test_lora_is_planned_on_a_folder_of_the_users(start, models):
    out, found = start("lora.py", f"model.path={models['tied']}", "plan=true")
    parameters = found["result"].plan.parameters
    assert parameters and f"{parameters:,} weights" in out and "adapter" in out


def test_a_judge_behind_an_api(start, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", "k")
    answer = {"reason": "引用正确", "points": 10}
    with Server(lambda body: json.dumps(answer, ensure_ascii=False)) as server:
        out, found = start("judge.py", server.url, "m")
    right, wrong = found["found"]
    assert right.parts == {"accuracy": 1.0, "format": 1.0, "rubric": 1.0} and wrong.parts["accuracy"] == 0.0
    assert len(server.asked) == 2 and server.keys == {"Bearer k"} and (tmp_path / "judge.sqlite").is_file()
    assert f"{right.score:.2f}" in out and "引用正确" in out


def test_a_sweep_is_planned_with_its_three_rates(start, tmp_path):
    out, _ = start("sweep.py", "plan=true")
    rates = ("0.0001", "0.0003", "0.001")
    configs = [load_config(f"curriculum=runs/rates/{rate}.yaml") for rate in rates]
    assert [_rate(config) for config in configs] == [float(rate) for rate in rates]
    assert all(f"runfolder{tmp_path}/runs/rates/{rate}data:" in unwrapped(out) for rate in rates)
    assert not any((tmp_path / "runs" / "rates" / rate).exists() for rate in rates), "a plan writes nothing"


def _rate(config: RunConfig):
    return next(stage.optim.lr for stage in config.curriculum.stages if stage.name == "grpo")


def test_every_example_is_on_the_page_and_short():
    said = " ".join(code for _, code in inline(ROOT / "docs" / "guides" / "from-python.md"))
    scripts = sorted(FOLDER.glob("*.py"))
    assert len(scripts) == 4
    for path in scripts:
        assert f"python examples/{path.name}" in said and len(path.read_text(encoding="utf-8").splitlines()) <= 35
