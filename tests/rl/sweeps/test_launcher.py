"""Hydra's side of a sweep of parallel runs, before anything is started."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


def sweep(folder, *words):
    """What the command line says to a sweep over two seeds; it starts no Ray."""
    command = [
        sys.executable,
        "-m",
        "rl.main",
        "-m",
        "+curriculum=smoke",
        "seed=3,4",
        f"hydra.sweep.dir={folder}",
        *words,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_plans_of_parallel_runs_are_printed(tmp_path):
    done = sweep(tmp_path, "hydra/launcher=parallel", "plan=true")
    assert done.returncode == 0, done.stderr
    assert [done.stdout.count(f"· seed {seed} · run folder") for seed in (3, 4)] == [1, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hydra/launcher=parallel", "hydra.sweep.subdir=x"), "two runs of the sweep would have the folder {}/x"),
        (("hydra/launcher=parallel", "model.nano.layers=0"), "model.nano.layers"),
        (("hydra/launcher=parallel", "hydra.launcher.at_once=-1"), "at_once=-1 lets no run go on"),
        (("hydra/launcher=asha", "hydra.launcher.metric=rewrd", "plan=true"), "did you mean reward?"),
        (("hydra/launcher=asha", "hydra.launcher.grace=2", "resume=restart"), "give another hydra.sweep.dir"),
    ],
)
def test_what_cannot_be_swept_is_a_sentence_before_ray_starts(tmp_path, words, said):
    done = sweep(tmp_path, *words)
    assert done.returncode == 2 and said.format(tmp_path) in done.stderr and "Ray is up" not in done.stdout, done.stderr
