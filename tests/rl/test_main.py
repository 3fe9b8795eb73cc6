"""How the command line ends."""

import os
import subprocess
import sys

import pytest

from rl.config.command import give_up
from rl.errors import UserError
from tests.conftest import ROOT


def test_an_error_is_shown_as_it_is_written(capsys):
    with pytest.raises(SystemExit, match="2"):
        give_up(UserError("data[0].jsonl:1: [/b] and [red]"))
    assert "error: data[0].jsonl:1: [/b] and [red]" in capsys.readouterr().err


@pytest.mark.parametrize("folder", [(), ("run_dir=runs/x",)])
def test_a_command_without_a_curriculum_is_a_sentence(folder):
    command = [sys.executable, "-m", "rl.main", "plan=true", *folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "no curriculum is selected; add +curriculum=NAME" in done.stderr


def test_what_is_refused_and_what_is_planned_makes_no_folder(tmp_path):
    """Hydra makes the run folder before it calls anything of ours."""
    open_key = "model.path: a file of this configuration leaves this open (???); add model.path=…"
    where = os.environ | {"PYTHONPATH": str(ROOT)}
    for words, code, said in (
        (["curriculum=smoke", "model=hf"], 2, open_key),
        (["curriculum=smoke", "plan=true"], 0, f"{tmp_path}/runs/smoke-nano-seed0"),
    ):
        command = [sys.executable, "-m", "rl.main", *words]
        done = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True)
        printed = "".join((done.stdout + done.stderr).split())
        assert done.returncode == code and "".join(said.split()) in printed, done.stdout + done.stderr
        assert not list(tmp_path.iterdir())
