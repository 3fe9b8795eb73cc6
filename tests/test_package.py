"""The package as users install it: an sdist, the wheel built from it, and its commands in an environment of their own,
started in a folder whose modules have the names of ours."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools.themis import COMMANDS

PACKAGES = ("cluster", "curricula", "hydra_plugins", "rewards", "rl", "tools")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def tracked(*folders):
    """Files of the repository, also those that are not committed yet."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *folders]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in found.split("\0") if name and (ROOT / name).is_file()}


def build(kind, source, goal):
    """What setuptools builds from a folder, as ``pip install`` does."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(goal)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return goal / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the sdist, which is built from a copy of the repository's files."""
    folder = tmp_path_factory.mktemp("package")
    for name in tracked():
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "copy" / name)
    with tarfile.open(build("sdist", folder / "copy", folder)) as sdist:
        sdist.extractall(folder / "sdist", filter="data")
    (unpacked,) = (folder / "sdist").iterdir()
    return build("wheel", unpacked, folder)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of an environment with the wheel. It takes what the wheel requires from ours, without Themis itself:
    a path in a .pth file brings the folder's packages, and not what .pth files within it say."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "required.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    program = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", program, "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def project(installed, tmp_path_factory):
    """A folder as ``themis new`` writes it, with modules beside that would break every command if they were imported
    in place of our packages."""
    folder = tmp_path_factory.mktemp("work") / "研究-lab"
    done = call(installed, folder.parent, "themis", "new", folder.name)
    assert done.returncode == 0 and "cd 研究-lab && themis plan curriculum=./curriculum.yaml" in done.stdout, (
        done.stderr
    )
    for name in ("rewards", "tools", "cluster", "curricula"):
        (folder / f"{name}.py").write_text("raise RuntimeError('the file of the user was imported')\n")
    return folder


def call(programs, folder, program, *words, timeout=300):
    """A command in a folder, without the variables by which our own environment would be found."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(programs / program), *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
    )


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == tracked(*PACKAGES)
    assert {f"{name}/py.typed" for name in ("cluster", "curricula", "rewards", "rl")} <= held


def test_the_command_lists_what_there_is(installed, project):
    done = call(installed, project, "themis", "--help")
    assert done.returncode == 0 and all(f"  {name} " in done.stdout for name in COMMANDS), done.stderr
    wrong = call(installed, project, "themis", "rolouts")
    assert wrong.returncode == 2 and "did you mean themis rollouts?" in wrong.stderr


@pytest.mark.parametrize("program", [("themis", "plan"), ("python", "-m", "rl.main", "plan=true")])
def test_a_project_is_planned_where_modules_have_our_names(installed, project, program):
    done = call(installed, project, *program, "curriculum=./curriculum.yaml")
    assert done.returncode == 0 and "test_grpo" in done.stdout, done.stderr
    assert "runs/研究-lab-nano-seed0" in done.stdout.replace("\n", "")


def test_the_reward_of_a_project_can_be_tried(installed, project):
    words = ("rewards", "score", "--reward", "lab_reward:names_the_period", "--input", "data/answers.jsonl")
    done = call(installed, project, "themis", *words)
    assert done.stdout.splitlines() == [
        '{"score": 1.0, "reason": ""}', '{"score": 0.0, "reason": "the period of 10日 is not named"}'
    ], done.stderr  # fmt: skip


@pytest.mark.slow
def test_a_project_runs_from_the_wheel(installed, project):
    """The whole of what ``themis new`` writes, in actors too; a start of Ray and the engines more."""
    words = ("cluster.dashboard=false", "tracker.wandb=disabled")
    done = call(installed, project, "themis", "run", "curriculum=./curriculum.yaml", *words, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert "lab_task:appeal" in (project / "runs" / "研究-lab-nano-seed0" / "results.json").read_text(encoding="utf-8")
    again = call(installed, project, "themis", "run", "curriculum=./curriculum.yaml", *words)
    assert again.returncode == 0 and "Ray is up" not in again.stdout


def test_the_programs_come_from_the_wheel(installed):
    code = "import rl, tools; print(rl.__file__, tools.__file__)"
    done = call(installed, Path("/"), "python", "-c", code)
    assert str(installed.parent) in done.stdout and str(ROOT) not in done.stdout
