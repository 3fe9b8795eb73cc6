"""How the command line ends."""

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
