"""Runs over two machines, each with its own address, shared memory and disk (:mod:`tests.cluster.machines`)."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.shipping import OURS
from rl.config.schema import NanoConfig
from rl.models.nano import ensure_nano
from tests.cluster.machines import machines, missing
from tests.cluster.slurm_daemons import until
from tests.e2e.runs import metrics, wait_for

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}


@pytest.fixture(scope="module")
def two():
    """Two machines with one Ray; the first has one CPU, the second two."""
    with tempfile.TemporaryDirectory(prefix="m-") as folder, machines(2, Path(folder)) as found:  # short, for sockets
        found[0].start_ray(None, 1, ENVIRONMENT)
        found[1].start_ray(f"{found[0].address}:6379", 2, ENVIRONMENT)
        yield found


def command(run_dir, *overrides):
    """The command of a small run."""
    return [
        sys.executable, "-m", "rl.main", "+curriculum=smoke", "cluster.address=10.77.0.1:6379", f"run_dir={run_dir}",
        "tracker.wandb=disabled", "trainer.threads=1", "rollout.threads=1", "trainer.checkpoint_every=2", *overrides,
    ]  # fmt: skip


def run(machine, run_dir, *overrides):
    """A small run whose driver is on a machine; what it printed, and its exit status."""
    answer = machine.run(*command(run_dir, *overrides), env=ENVIRONMENT, cwd=ROOT, timeout=900)
    return answer.stdout + answer.stderr, answer.returncode


@contextmanager
def without_code(machine):
    """Within it, a machine sees neither this checkout's code nor that of one that is installed; all packages it has."""
    code = "import rl; print(rl.__path__[0])"
    elsewhere = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=elsewhere, cwd="/")
    roots = {ROOT} | ({Path(found.stdout.strip()).parent} if found.returncode == 0 else set())
    hidden = [str(path) for root in sorted(roots) for name in OURS if (path := root / name).is_dir()]
    for folder in hidden:
        assert machine.run("mount", "-t", "tmpfs", "hidden", folder).returncode == 0
    yield
    for folder in hidden:
        assert machine.run("umount", "--lazy", folder).returncode == 0


def test_a_run_folder_on_one_machines_own_disk_is_refused_before_it_starts(two):
    printed, code = run(two[0], two[0].disk / "run", "trainer.world_size=2")
    assert code == 2, printed
    assert "node node2 (10.77.0.2) does not see run_dir" in printed and "a disk that all nodes share" in printed
    assert "Traceback" not in printed


def test_a_model_on_one_machines_own_disk_is_refused_before_it_starts(two, tmp_path):
    model = ensure_nano(NanoConfig(layers=1), 0, 4096, tmp_path)
    copied = two[0].run("cp", "-r", str(model), f"{two[0].disk}/model")
    assert copied.returncode == 0, copied.stderr
    printed, code = run(two[0], tmp_path / "run", "trainer.world_size=2", "model=hf", f"model.path={two[0].disk}/model")
    assert code == 2, printed
    assert "node node2 (10.77.0.2) has not the model" in printed and "it lacks" in printed


def test_code_and_weights_reach_the_other_machine(two, tmp_path):
    """The rollout engines are on it, and so are the rewards."""
    words = ["cluster.placement=split", "rollout.replicas=2", "rollout.verify_sync=true"]
    with without_code(two[1]):
        printed, code = run(two[0], tmp_path / "refused", *words)
        assert code == 2 and "Traceback" not in printed, printed
        assert "node node2 (10.77.0.2) has no code of Themis" in printed and "cluster.ship_code=true" in printed
        printed, code = run(two[0], tmp_path / "run", *words, "cluster.ship_code=true")
    assert code == 0, printed
    for machine in two:
        assert "themis-" not in machine.run("ls", "/dev/shm").stdout


@pytest.mark.slow
def test_a_machine_that_is_switched_off_and_on_costs_no_step(two, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            two[0].command(*command(tmp_path / "run", "trainer.world_size=3")),
            stdout=file, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=ROOT,
        )  # fmt: skip
    wait_for(tmp_path / "run", "sft", 2, process)
    two[1].end_all()
    until(lambda: "waiting for resources" in log.read_text() or process.poll() is not None, log.read_text, 400)
    two[1].start_ray(f"{two[0].address}:6379", 2, ENVIRONMENT)
    assert process.wait(900) == 0, log.read_text()[-4000:]
    lines = metrics(tmp_path / "run")
    places = [(line["stage"], line["step"]) for line in lines]
    assert len(places) == len(set(places)) and places == sorted(places, key=places.index)
    assert "missing" in log.read_text() and "Traceback" not in log.read_text()
