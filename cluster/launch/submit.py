"""A job that is submitted to a running Ray: its dashboard's address is enough to start, follow and stop a run."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import Any

from cluster.errors import ClusterError
from cluster.launch.job import ROOT, Job, Launch, stop_environment

AGENT_S = 120.0
"""How long a Ray that has just been started may take until it takes jobs (seconds)."""


def launch(
    job: Job, *, address: str = "http://127.0.0.1:8265", folder: str = str(ROOT), python: str = sys.executable
) -> Launch:
    """The submission of a run.

    Args:
        job: the run.
        address: the dashboard of the cluster, such as ``http://127.0.0.1:8265``.
        folder: the checkout on the cluster's head.
        python: Python of the environment with Themis there.
    """
    sent = submission(job, folder=folder, python=python)
    ray = f"ray job {{}} --address {shlex.quote(address)} {sent['submission_id']}"
    return Launch(
        ("POST", f"{address.rstrip('/')}/api/jobs/", "FILE"),
        "job.json",
        json.dumps(sent, indent=2, ensure_ascii=False) + "\n",
        f"{ray.format('logs')} --follow   ({ray.format('stop')} stops it)",
        start=lambda: submit(address, sent),
    )


def submission(job: Job, *, folder: str, python: str) -> dict[str, Any]:
    """What Ray's job API is sent.

    Args:
        job: the run.
        folder: the checkout on the cluster's head.
        python: Python of the environment with Themis there.
    """
    return {
        "submission_id": f"{job.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}",
        "entrypoint": job.shell(python, "auto", folder),
        "runtime_env": stop_environment(job),
        "metadata": {"name": job.name, "run_dir": job.run_dir},
    }


def submit(address: str, sent: dict[str, Any]) -> str:
    """Submit a job. Returns its id.

    Args:
        address: the dashboard of the cluster, such as ``http://127.0.0.1:8265``.
        sent: what :func:`submission` gives.

    Raises:
        ClusterError: if no Ray answers there, or it refuses the job.
    """
    from ray.job_submission import JobSubmissionClient

    end = time.monotonic() + AGENT_S
    while True:
        try:
            return str(JobSubmissionClient(address).submit_job(**sent))
        except Exception as error:  # ConnectionError, RuntimeError, AuthenticationError: Ray has no common class
            if "No available agent" not in str(error) or time.monotonic() > end:
                raise _refused(address, error) from error
        time.sleep(1)


def _refused(address: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"the job could not be submitted to {address}: {error}. Give the dashboard's address of the running Ray "
        f"with --address (through an ssh tunnel if it is on another machine), and for a Ray with a token set "
        f"RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
    )
