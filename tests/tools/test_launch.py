"""``python -m tools.launch``: the run's own configuration decides what is asked for, and errors are sentences."""

import argparse
import json
import os
import stat
import subprocess
import time

import pytest
import yaml

from tools.launch import LAUNCHERS, job_of, main, read_run

SLURM = ("slurm", "+curriculum=smoke", "run_dir=/shared/smoke")


def said(capsys, *words):
    """Exit code, standard output and standard error of a command."""
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


def asked(*overrides, gpus_per_node=8, nodes=None, cpus_per_node=None, memory_gb=None):
    """What the job of a run asks for: nodes, GPUs, CPUs."""
    given = argparse.Namespace(
        gpus_per_node=gpus_per_node, nodes=nodes, cpus_per_node=cpus_per_node, memory_gb=memory_gb
    )
    overrides = ("+curriculum=smoke", "run_dir=/shared/smoke", *overrides)
    job = job_of(read_run(overrides, elsewhere=False), overrides, given)
    return job.nodes, job.gpus, job.cpus


@pytest.mark.parametrize(
    ("overrides", "options", "what"),
    [
        ((), {}, (1, 1, 8)),
        (("trainer.world_size=8", "rollout.replicas=4"), {}, (1, 8, 64)),
        (("trainer.world_size=8", "rollout.replicas=4", "cluster.placement=split"), {}, (2, 6, 48)),
        (("trainer.world_size=16",), {"gpus_per_node": 4, "cpus_per_node": 48}, (4, 4, 48)),
        (("trainer.device=cpu", "trainer.threads=3"), {}, (1, 0, 3)),
        (("trainer.world_size=4",), {"gpus_per_node": 0, "nodes": 2}, (2, 0, 4)),
        (("rollout.replicas=3", "cluster.placement=split"), {"gpus_per_node": 0}, (1, 0, 4)),
    ],
)
def test_nodes_follow_from_the_run(overrides, options, what):
    assert asked(*overrides, **options) == what


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((*SLURM, "trainer.world_size=16", "--nodes", "1"), "asks for 16 GPUs (trainer.world_size=16, … --nodes 2"),
        ((*SLURM, "--nodes", "2"), "uses 1 place(s) … fewer than --nodes 2"),
        ((*SLURM, "trainer.device=cuda", "--gpus-per-node", "0"), "--gpus-per-node is 0"),
        ((*SLURM, "trainer.world_size=8", "--cpus-per-node", "4"), "8 of this run's 8 places … at least 8"),
        ((*SLURM, "trainer.device=cpu", "model.path=lab/unknown"), "sizes of nano are not known … --memory-gb"),
        (("slurm", "+curriculum=smoke"), "run_dir=runs/smoke-nano-seed0 is not absolute"),
        ((*SLURM, "model.path=/no/such"), "model.path=/no/such: no such folder"),
        ((*SLURM, "model.path=~"), "~: another machine … whole path"),
        ((*SLURM, "trainer.world_sise=2"), "did you mean trainer.world_size"),
        ((*SLURM, "seed=x"), "seed: … valid integer"),
        ((*SLURM, "model=qwen9"), "model=qwen9 is not among"),
        (("slurm", "run_dir=/shared/x"), "no curriculum is selected"),
        ((*SLURM, "cluster.address=auto"), "cluster.address is set by the launcher"),
        ((*SLURM, "resume=restart"), "from scratch at every new start"),
        ((*SLURM, "plan=true"), "starts nothing"),
        ((*SLURM, "--time", "soon"), "no time limit of Slurm"),
        ((*SLURM, "--partition", "a\n#SBATCH --uid=0"), "line break"),
        (("kuberay", "+curriculum=smoke", "run_dir=/data/x"), "/data/x is not below /shared"),
        (("kuberay", "+curriculum=smoke", "run_dir=/shared/x", "model.path=./models/m"), "models/m: no such folder"),
        (("docker", "+curriculum=smoke", "run_dir=/tmp/x", "trainer.world_size=9"), "docker starts one machine"),
        (("compose", "+curriculum=smoke", "run_dir=/tmp/x", "--port", "0x1"), "--port 0x1 is no port"),
    ],
)
def test_what_can_not_be_launched_is_a_sentence(words, why, capsys):
    code, out, err = said(capsys, *words, "--dry-run")
    flat = " ".join(err.split())
    assert code == 2 and not out and flat.startswith("error: "), err
    assert all(part in flat for part in why.split(" … ")), err


def test_a_model_that_only_pods_see_is_not_looked_for_here(capsys):
    code, out, err = said(
        capsys, "kuberay", "+curriculum=smoke", "run_dir=/shared/x", "model.path=/shared/models/none", "--dry-run"
    )
    assert code == 0 and "model.path=/shared/models/none" in yaml.safe_load(out)["spec"]["entrypoint"], err


def test_a_folder_named_by_the_time_stays_the_same_at_each_start(capsys):
    words = ("+curriculum=smoke", "run_dir=/shared/${now:%Y}-${model.name}", "--dry-run")
    code, out, _ = said(capsys, "job", *words)
    assert code == 0 and f"run_dir=/shared/{time.strftime('%Y')}-nano " in json.loads(out)["entrypoint"]


def test_blanks_between_machines_are_none_of_their_names(capsys):
    words = ("+curriculum=smoke", "run_dir=/shared/x", "trainer.world_size=16", "--user", "u", "--dry-run")
    code, out, err = said(capsys, "ray-up", *words, "--hosts", "10.0.0.1, 10.0.0.2,")
    assert code == 0 and yaml.safe_load(out)["provider"]["worker_ips"] == ["10.0.0.2"], err


def test_ray_up_needs_a_token(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    code, _, err = said(capsys, "ray-up", "+curriculum=smoke", "run_dir=/shared/x", "--hosts", "a", "--user", "u")
    assert code == 2 and "auth_token does not exist; make the token" in " ".join(err.split())


def test_a_dry_run_prints_the_file_alone_and_writes_nothing(capsys, tmp_path):
    run = tmp_path / "run"
    code, out, err = said(capsys, "slurm", "+curriculum=smoke", f"run_dir={run}", "trainer.world_size=9", "--dry-run")
    assert code == 0 and out.startswith("#!/bin/bash\n") and "#SBATCH --nodes=2\n" in out
    assert "would run: sbatch" in err and "9 nodes" not in err and "must all see it" in " ".join(err.split())
    assert not run.exists()
    assert subprocess.run(["bash", "-n"], input=out, text=True).returncode == 0


@pytest.mark.parametrize(
    ("launcher", "program"),
    [("slurm", "sbatch"), ("kuberay", "kubectl"), ("ray-up", "ray"), ("docker", "docker"), ("compose", "docker")],
)
def test_the_program_gets_the_file(launcher, program, capsys, tmp_path, monkeypatch):
    """A program of that name, which only writes down what it is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    path = tmp_path / program
    path.write_text('#!/bin/bash\nprintf "%s\\n" "$@" > given; for last; do :; done; cp "$last" file || true\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    more = {"ray-up": ["--hosts", "a", "--user", "u"], "kuberay": ["--mount", str(tmp_path)]}.get(launcher, [])
    code, out, err = said(capsys, launcher, "+curriculum=smoke", f"run_dir={tmp_path}/run", *more)
    assert code == 0 and "then: " in out, err
    given = (tmp_path / "given").read_text().split("\n")
    if launcher == "compose":
        file = tmp_path / "run" / "launch" / "compose.yaml"
        assert given[:5] == ["compose", "--file", str(file), "up", "--detach"] and f"--file {file} logs" in out
    elif launcher == "docker":
        assert given[:2] == ["run", "--rm"] and "+curriculum=smoke" in given and (tmp_path / "run").is_dir()
    else:
        assert (tmp_path / "file").read_text() == (tmp_path / given[-2]).read_text() and "FILE" not in out


@pytest.mark.parametrize(("launcher", "program"), [("slurm", "sbatch"), ("kuberay", "kubectl"), ("docker", "docker")])
def test_a_missing_program_is_one_sentence(launcher, program, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = said(capsys, launcher, "+curriculum=smoke", "run_dir=/shared/x")
    assert code == 2 and f"error: {program} is not on this machine" in " ".join(err.split())


def test_a_folder_that_can_not_be_made_is_a_sentence(capsys, tmp_path, monkeypatch):
    (tmp_path / "sbatch").write_text("#!/bin/bash\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    code, _, err = said(capsys, "slurm", "+curriculum=smoke", "run_dir=/proc/run")
    assert code == 2 and "error: /proc/run/launch can't be written to" in " ".join(err.split())


def test_a_program_that_fails_is_named(capsys, tmp_path, monkeypatch):
    (tmp_path / "sbatch").write_text("#!/bin/bash\nexit 3\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    code, _, err = said(capsys, "slurm", "+curriculum=smoke", f"run_dir={tmp_path}/run")
    assert code == 2 and "sbatch ended with exit code 3" in " ".join(err.split())


def test_a_job_is_shown_as_ray_takes_it(capsys):
    code, out, err = said(capsys, "job", "+curriculum=smoke", "run_dir=/shared/x", "--folder", "/opt/a b", "--dry-run")
    assert code == 0 and json.loads(out)["entrypoint"].startswith("cd '/opt/a b' && exec ")
    assert f"ray job logs --address http://127.0.0.1:8265 {json.loads(out)['submission_id']} --follow" in err


def test_an_unknown_launcher_is_a_usage_line(capsys):
    code, _, err = said(capsys, "lsf")
    assert code == 2 and all(name in err for name in LAUNCHERS)
