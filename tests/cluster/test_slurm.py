"""The batch script under a real Slurm of two nodes. A small command takes the place of the run."""

import json

import psutil
import pytest

from cluster.launch import slurm as launcher
from cluster.launch.job import Job
from tests.cluster.slurm_daemons import missing, slurm, until

RUN = """\
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
attempts = [*folder.glob("attempt-*")]
def stop(*_):
    (folder / "stopped").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
(folder / f"attempt-{len(attempts)}").write_text("\\n".join(sys.argv[2:]))
while not attempts:
    time.sleep(0.1)
"""
"""In place of a run: the first attempt works until SIGTERM, the second is soon done."""

RAY = """\
import json, os, pathlib, sys, time
import psutil, ray
folder, address = pathlib.Path(sys.argv[1]), sys.argv[2].partition("=")[2]
ray.init(address=address, log_to_driver=False)
while len(ray.nodes()) < 2:
    time.sleep(0.2)
file = pathlib.Path(os.environ["RAY_AUTH_TOKEN_PATH"])
token, mode = file.read_text(), oct(file.stat().st_mode & 0o777)
words = [word for one in psutil.process_iter(["cmdline"]) for word in one.info["cmdline"] or ()]
found = {"cpus": ray.cluster_resources()["CPU"], "mode": mode, "length": len(token), "address": address,
         "in a command line": any(token in word for word in words)}
(folder / "found.json").write_text(json.dumps(found))
"""
"""In place of a run over two nodes: says what it finds."""


def job(folder, nodes=1, words=(), program=RUN):
    (folder / "in_place.py").write_text(program, encoding="utf-8")
    return Job(("in_place.py", str(folder), *words), str(folder), nodes, gpus=0, cpus=1, memory_gb=1)


def written(found, folder):
    path = folder / "launch" / "slurm.sbatch"
    path.parent.mkdir(exist_ok=True)
    path.write_text(found.text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    if why := missing():
        pytest.skip(why)
    with slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    """A run folder with a name that a shell, and Slurm, would take apart."""
    path = tmp_path / "实验 (1) 50%j's $HOME"
    path.mkdir()
    return path


def test_a_stopped_job_is_queued_again_with_the_same_words(daemons, folder):
    words = ('model.name=it\'s $(id) `id` "x"', "a=b c")
    script = written(launcher.launch(job(folder, words=words), folder=str(folder)), folder)
    number = daemons.submit(script)
    until((folder / "attempt-0").exists, daemons.logs)
    daemons("scancel", "--batch", "--signal=TERM", number)  # what Slurm sends before the time limit
    until((folder / "stopped").exists, daemons.logs)
    daemons.wait(number, "PENDING", "COMPLETED")
    if daemons.job(number)["JobState"] == "PENDING":  # Slurm lets a requeued job wait for two minutes
        daemons("scontrol", "update", f"JobId={number}", "StartTime=now+2")  # in the same second it would be refused
    done = daemons.wait(number, "COMPLETED", "FAILED", "CANCELLED")
    assert (done["JobState"], done["Restarts"]) == ("COMPLETED", "1"), daemons.logs()
    for attempt in ("attempt-0", "attempt-1"):
        assert (folder / attempt).read_text().split("\n") == [*words, "cluster.address=local"]
    assert "queued again" in (folder / "launch" / f"slurm-{number}.log").read_text()


def test_a_cancelled_job_ends_its_run_and_is_not_queued_again(daemons, folder):
    number = daemons.submit(written(launcher.launch(job(folder), folder=str(folder)), folder))
    until((folder / "attempt-0").exists, daemons.logs)
    daemons("scancel", number)
    until((folder / "stopped").exists, daemons.logs)
    done = daemons.wait(number, "CANCELLED", "PENDING")  # COMPLETING until the script has ended
    assert (done["JobState"], done["Restarts"]) == ("CANCELLED", "0"), daemons.logs()


def test_a_failed_run_is_not_queued_again(daemons, folder):
    script = written(launcher.launch(job(folder), folder=str(folder)), folder)
    (folder / "in_place.py").write_text("raise SystemExit(2)", encoding="utf-8")
    done = daemons.wait(daemons.submit(script), "COMPLETED", "FAILED", "TIMEOUT")
    assert (done["JobState"], done["ExitCode"], done["Restarts"]) == ("FAILED", "2:0", "0"), daemons.logs()


def test_ray_runs_over_all_nodes_with_a_token_that_only_a_file_holds(daemons, folder):
    two = job(folder, nodes=2, program=RAY)
    number = daemons.submit(written(launcher.launch(two, folder=str(folder)), folder))
    done = daemons.wait(number, "COMPLETED", "FAILED", "CANCELLED")
    assert done["JobState"] == "COMPLETED", daemons.logs()
    found = json.loads((folder / "found.json").read_text())
    address = found.pop("address")
    assert found == {"cpus": 2, "mode": "0o600", "length": 64, "in a command line": False}
    assert not [*(folder / "launch").glob("token-*")]
    assert not [one for one in psutil.process_iter(["cmdline"]) if address in " ".join(one.info["cmdline"] or ())]
