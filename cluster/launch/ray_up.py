"""The YAML of ``ray up`` for machines that are there: reached by ssh, with a disk that they share."""

from __future__ import annotations

import shlex
import sys

from cluster.errors import ClusterError
from cluster.launch.job import HERE, Job, Launch
from cluster.launch.kuberay import dump

PORT = 6379
TOKEN = "~/.ray/auth_token"
"""Where Ray keeps a user's token."""


def launch(
    job: Job,
    *,
    hosts: tuple[str, ...],
    user: str,
    folder: str = str(HERE),
    python: str = sys.executable,
    key: str | None = None,
) -> Launch:
    """The cluster of a run; the run itself starts by ``ray exec``.

    Args:
        job: the run.
        hosts: addresses of the machines; the first is Ray's head, and all work for the run.
        user: user of ssh on all of them.
        folder: where the run starts on all of them: the checkout, or a project of one's own.
        python: Python of the environment with Themis on all of them.
        key: private key of ssh; None leaves it to ssh.

    Raises:
        ClusterError: if there are fewer machines than the run needs.
    """
    hosts = tuple(dict.fromkeys(hosts))
    if len(hosts) < job.nodes:
        raise ClusterError(
            f"this run needs {job.nodes} nodes, and --hosts names {len(hosts)}; name more, raise --gpus-per-node, "
            f"or lower trainer.world_size and rollout.replicas"
        )
    hosts = hosts[: job.nodes]
    run = f"RAY_AUTH_MODE=token {job.shell(python, 'auto')}"
    config = {
        "cluster_name": job.name,
        "max_workers": len(hosts) - 1,
        "provider": {"type": "local", "head_ip": hosts[0], "worker_ips": list(hosts[1:])},
        "auth": {"ssh_user": user} | ({"ssh_private_key": key} if key else {}),
        "file_mounts": {TOKEN: TOKEN},
        "head_start_ray_commands": _start(
            job, python, "--head", f"--port={PORT}", "--dashboard-host=127.0.0.1",
            "--autoscaling-config=~/ray_bootstrap_config.yaml",
        ),
        "worker_start_ray_commands": _start(job, python, f"--address=$RAY_HEAD_IP:{PORT}"),
    }  # fmt: skip
    line = shlex.join(["ray", "exec", "FILE", f"cd {shlex.quote(folder)} && {run}"])
    needs = {TOKEN: "make the token of your clusters with: ray get-auth-token --generate"}
    return Launch(("ray", "up", "--yes", "FILE"), "ray-up.yaml", dump(config), line, needs)


def _start(job: Job, python: str, *options: str) -> list[str]:
    ray = f"{shlex.quote(python)} -m ray.scripts.scripts"
    have = f"--num-cpus={job.cpus} --num-gpus={job.gpus}"
    return [f"{ray} stop", f"chmod 600 {TOKEN}", f"RAY_AUTH_MODE=token {ray} start {' '.join(options)} {have}"]
