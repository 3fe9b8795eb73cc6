"""``docker run`` on one machine: the run in an image of ours, with its folder, model and data mounted."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from cluster.launch.job import Job, Launch, require_one_node
from cluster.launch.kuberay import IMAGE_FOLDER

SECRETS = ("WANDB_API_KEY", "JUDGE_API_KEY", "OPENAI_API_KEY")
"""Variables that go into the container by name; their values stay in the environment."""


def launch(job: Job, *, image: str | None = None) -> Launch:
    """The command that runs the run.

    Args:
        job: the run.
        image: the image; None is ours.

    Raises:
        ClusterError: if the run needs more than one node.
    """
    require_one_node(job, "docker")
    command = [
        "docker", "run", "--rm", "--init", "--name", job.name, "--stop-timeout", str(job.stop_s),
        "--user", f"{os.getuid()}:{os.getgid()}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--cpus", str(job.cpus), "--memory", f"{job.memory_gb}g", "--shm-size", f"{max(1, job.memory_gb // 2)}g",
    ]  # fmt: skip
    command += ["--gpus", str(job.gpus)] if job.gpus else []
    for name in SECRETS:
        command += ["--env", name]
    for mount in mounts(job):
        command += ["--mount", _option(*mount)]
    command += [image or job.image, "python", *job.words, "cluster.address=local"]
    return Launch(tuple(command), then=f"docker stop {job.name}   (the same command resumes)")


def mounts(job: Job) -> list[tuple[Path, Path, bool]]:
    """(path of this machine, where the container sees it, whether it may write there): the run's folder, and what the
    run reads. The place is the same; that of a relative path is in the image's checkout."""
    paths = [(job.run_dir, True), *((path, False) for path in job.folders)]
    return [(Path(path).absolute(), Path(IMAGE_FOLDER, path), writable) for path, writable in paths]


def _option(source: Path, target: Path, writable: bool) -> str:
    fields = ["type=bind", f"source={source}", f"target={target}"]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([*fields, *([] if writable else ["readonly"])])  # as Docker reads it
    return line.getvalue()
