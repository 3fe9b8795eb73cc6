"""Runs over two machines, each with its own address, shared memory and disk (:mod:`tests.cluster.machines`)."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.shipping import OURS
from rl.config.schema import NanoConfig
from rl.driver.fleet import AWAY
from rl.models.nano import ensure_nano
from rl.records.losses import read_losses
from tests.cluster.machines import machines, missing
from tests.cluster.slurm_daemons import until
from tests.e2e.runs import metrics, wait_for

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 1200
GRPO = """
  - name: grpo
    kind: grpo
    steps: {steps}
    prompts_per_step: 4
    samples_per_prompt: 2
    tasks: {{age: 1}}
    max_prompt_tokens: 96
    sampling: {{max_tokens: 16}}
    optim: {{lr: 1e-4}}
"""
SFT = "\n  - {name: sft, kind: sft, steps: 12, demonstrations: {age: 40}, optim: {lr: 3e-3}}"
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


@contextmanager
def curriculum(machine, stages, folder):
    """Within it, a machine sees other stages in the curriculum smoke."""
    Path(folder, "stages.yaml").write_text(f"name: smoke\nstages:{stages}")
    smoke = str(ROOT / "rl" / "conf" / "curriculum" / "smoke.yaml")
    assert machine.run("mount", "--bind", f"{folder}/stages.yaml", smoke).returncode == 0
    yield
    assert machine.run("umount", "--lazy", smoke).returncode == 0


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
    with without_code(two[1]), curriculum(two[0], GRPO.format(steps=2), tmp_path):
        printed, code = run(two[0], tmp_path / "refused", *words)
        assert code == 2 and "Traceback" not in printed, printed
        assert "node node2 (10.77.0.2) has no code of Themis" in printed and "cluster.ship_code=true" in printed
        printed, code = run(two[0], tmp_path / "run", *words, "cluster.ship_code=true")
    assert code == 0, printed
    assert [line["step"] for line in metrics(tmp_path / "run")] == [0, 1]
    for machine in two:
        assert "themis-" not in machine.run("ls", "/dev/shm").stdout


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_S)
def test_the_runs_of_a_sweep_are_on_both_machines_at_the_same_time(two, tmp_path):
    words = [
        sys.executable, "-m", "rl.main", "-m", "+curriculum=smoke", "seed=0,1,2", "hydra/launcher=parallel",
        "cluster.address=10.77.0.1:6379", f"hydra.sweep.dir={tmp_path}", "tracker.wandb=disabled", "trainer.threads=1",
        "cluster.placement_timeout_s=600",
    ]  # fmt: skip
    log = tmp_path / "run.log"

    def trainers():
        return [one.run("ps", "-eo", "args").stdout.count("ray::TrainerActor") for one in two]

    with curriculum(two[0], SFT, tmp_path), log.open("w") as file:
        process = subprocess.Popen(
            two[0].command(*words), stdout=file, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=ROOT
        )
        until(lambda: trainers() == [1, 2] or process.poll() is not None, log.read_text, PATIENCE_S)
        assert process.wait(PATIENCE_S) == 0, log.read_text()[-4000:]
    runs = sorted(path.parent for path in tmp_path.glob("*/metrics.jsonl"))
    assert [[line["step"] for line in metrics(run)] for run in runs] == [list(range(12))] * 3
    assert trainers() == [0, 0] and (tmp_path / "compare.html").exists()


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


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_S)
def test_a_run_that_may_shrink_goes_on_with_the_ranks_that_are_left(two, tmp_path):
    run_dir, log = tmp_path / "run", tmp_path / "run.log"
    words = ["trainer.world_size=3", "cluster.on_loss=shrink", "cluster.placement_timeout_s=30"]
    with curriculum(two[0], SFT + GRPO.format(steps=3), tmp_path):
        with log.open("w") as file:
            process = subprocess.Popen(
                two[0].command(*command(run_dir, *words)),
                stdout=file, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=ROOT,
            )  # fmt: skip
        wait_for(run_dir, "sft", 4, process, PATIENCE_S)
        two[1].end_all()
        try:
            assert process.wait(PATIENCE_S) == 0, log.read_text()[-4000:]
        finally:
            two[1].start_ray(f"{two[0].address}:6379", 2, ENVIRONMENT)
    places = [(line["stage"], line["step"]) for line in metrics(run_dir)]
    assert len(places) == len(set(places)) and ("grpo", 2) in places
    found = [loss for loss in read_losses(run_dir) if "of its 3 places left" in loss["why"]]
    assert [loss["done"] for loss in found] == ["it goes on with 1 of 3 ranks, and 1 of 1 engines"], log.read_text()
    assert "node2" in found[0]["why"] and "Traceback" not in log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_S)
def test_an_engine_whose_machine_is_switched_off_is_missed_only_until_it_is_back():
    with (
        tempfile.TemporaryDirectory(prefix="m-") as folder,
        machines(3, Path(folder)) as found,
        curriculum(found[0], GRPO.format(steps=1000), folder),
    ):
        run_dir, log = Path(folder, "run"), Path(folder, "run.log")
        head = f"{found[0].address}:6379"
        for machine in found:
            machine.start_ray(None if machine is found[0] else head, 1, ENVIRONMENT)
        traced = f"tracker.trace_steps=[{','.join(map(str, range(1000)))}]"
        words = ["cluster.placement=split", "rollout.replicas=2", traced]
        with log.open("w") as file:
            process = subprocess.Popen(
                found[0].command(*command(run_dir, *words)),
                stdout=file, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=ROOT,
            )  # fmt: skip
        wait_for(run_dir, "grpo", 1, process, PATIENCE_S)
        assert engines_of_last_step(run_dir) == {"rollout/0", "rollout/1"}
        off = next(one for one in found[1:] if "RolloutActor" in one.run("ps", "-eo", "args").stdout)
        off.end_all()
        until(lambda: len(engines_of_last_step(run_dir)) == 1 or process.poll() is not None, log.read_text, PATIENCE_S)
        assert [loss["done"] for loss in read_losses(run_dir) if loss["who"].startswith("rollout/")] == [AWAY]
        off.start_ray(head, 1, ENVIRONMENT)
        until(lambda: len(engines_of_last_step(run_dir)) == 2 or process.poll() is not None, log.read_text, PATIENCE_S)
        found[0].run("pkill", "-TERM", "-f", "rl.main")  # it sees the processes of its machine alone
        process.wait(PATIENCE_S)
        printed, places = log.read_text(), [line["step"] for line in metrics(run_dir)]
        assert places == list(range(len(places))), "no step is made again"
        assert "ended by SIGTERM" in printed and "Traceback" not in printed, printed[-4000:]
        assert {loss["who"].partition("/")[0] for loss in read_losses(run_dir)} <= {"rollout", "reward"}


def engines_of_last_step(run_dir):
    """The engines that answered in the last step of which there is a trace."""
    paths = sorted(run_dir.glob("traces/grpo/*.json"))
    if not paths:
        return set()
    events = json.loads(paths[-1].read_text())["traceEvents"]
    return {event["cat"] for event in events if event["name"] == "collect" and event["cat"].startswith("rollout/")}
