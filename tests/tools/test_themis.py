"""``themis``: help speaks of the command as it was called."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("module", "words", "usage"),
    [
        ("tools.themis", ["rollouts", "--help"], "usage: themis rollouts [-h]"),
        ("tools.themis", ["infer", "retrieve", "--help"], "usage: themis infer retrieve [-h]"),
        ("tools.themis", ["infer", "--help"], "usage: themis infer {"),
        ("tools.rollouts", ["--help"], "usage: python -m tools.rollouts [-h]"),
        ("rl.inference", ["retrieve", "--help"], "usage: python -m rl.inference retrieve [-h]"),
    ],
)
def test_help_names_the_command_as_it_was_called(module, words, usage):
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"})
    assert done.returncode == 0 and done.stdout.startswith(usage), done.stdout + done.stderr
