"""A job that is submitted to a running Ray: its dashboard's address is enough to start, follow and stop a run."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from typing import Any

from cluster.errors import ClusterError
from cluster.launch.job import HERE, Job, Launch, stop_environment

SUBMIT_S = 180.0
"""Longest wait until a Ray has taken the job (seconds); one that has just been started takes a while."""
ANSWER_S = 30.0
"""Longest wait for one answer of its dashboard (seconds). Ray's own client would wait for good."""
NO_AGENT = "No available agent"
"""How the dashboard says that the agent of the head node, which starts jobs, has not come up."""
BEFORE_OURS = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray's client takes before the address that it is given."""


def launch(
    job: Job, *, address: str = "http://127.0.0.1:8265", folder: str = str(HERE), python: str = sys.executable
) -> Launch:
    """The submission of a run.

    Args:
        job: the run.
        address: the dashboard of the cluster, such as ``http://127.0.0.1:8265``.
        folder: where the run starts on the cluster's head: the checkout, or a project of one's own.
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
        folder: where the run starts on the cluster's head: the checkout, or a project of one's own.
        python: Python of the environment with Themis there.
    """
    return {
        "submission_id": f"{job.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}",
        "entrypoint": job.shell(python, "auto", folder),
        "runtime_env": stop_environment(job),
        "metadata": {"name": job.name, "run_dir": job.run_dir},
    }


def submit(address: str, sent: dict[str, Any], within_s: float = SUBMIT_S, answer_s: float = ANSWER_S) -> str:
    """Submit a job, again until it is taken where Ray is not ready yet; a line is printed each time. Returns its id.

    Args:
        address: the dashboard of the cluster, such as ``http://127.0.0.1:8265``.
        sent: what :func:`submission` gives.
        within_s: longest wait in all (seconds).
        answer_s: longest wait for one answer (seconds).

    Raises:
        ClusterError: if no Ray answers there, it refuses the job, or does not take it in time.
    """
    _require_own(address)
    print(f"asking the Ray at {address} to take the job, for at most {within_s:.0f} s", flush=True)
    began, lacks = time.monotonic(), ""
    while True:
        try:
            return _submit_once(address, sent, answer_s)
        except Exception as error:  # ConnectionError, RuntimeError, AuthenticationError: Ray has no common class
            if lacks and f"{sent['submission_id']} already exists" in str(error):
                return str(sent["submission_id"])  # taken by a call whose answer did not come in time
            lacks, waited = _lacks(error, answer_s), time.monotonic() - began
            if not lacks:
                raise _refused(address, error) from error
            if waited >= within_s:
                raise _not_taken(address, sent["submission_id"], lacks, waited) from error
        print(f"not taken yet: {lacks} ({waited:.0f} s of at most {within_s:.0f} s)", flush=True)
        time.sleep(1)


def _submit_once(address: str, sent: dict[str, Any], answer_s: float) -> str:
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        def _do_request(self, *arguments: Any, **options: Any) -> Any:
            return super()._do_request(*arguments, **options, timeout=answer_s)

    return str(Client(address).submit_job(**sent))


def _lacks(error: Exception, answer_s: float) -> str:
    """What a Ray that may still take the job lacks; empty if it never will."""
    from requests import Timeout

    if NO_AGENT in str(error):
        return "its dashboard answers, and the agent of its head node is not up"
    return f"its dashboard did not answer within {answer_s:g} s" if isinstance(error, Timeout) else ""


def _require_own(address: str) -> None:
    """Refuse an environment that names another Ray, which Ray's client and ``ray job`` would take instead."""
    for name in BEFORE_OURS:
        if os.environ.get(name, address).rstrip("/") != address.rstrip("/"):
            raise ClusterError(
                f"the environment sets {name}={os.environ[name]}, which Ray takes before --address {address}; unset it "
                f"(unset {name})"
            )


def _not_taken(address: str, submission_id: str, lacks: str, waited_s: float) -> ClusterError:
    return ClusterError(
        f"the Ray at {address} did not take the job within {waited_s:.0f} s: {lacks}. On the head, dashboard_agent.log "
        f"in Ray's folder of logs says why; where another Ray runs there, start this one with "
        f"--dashboard-agent-listen-port and a free port. On a busy machine run the same command again, after ray job "
        f"status --address {shlex.quote(address)} {submission_id} has shown that the job was not taken later"
    )


def _refused(address: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"the job could not be submitted to {address}: {error}. Give the dashboard's address of the running Ray "
        f"with --address (through an ssh tunnel if it is on another machine), and for a Ray with a token set "
        f"RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
    )
