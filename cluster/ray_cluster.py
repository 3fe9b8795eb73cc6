"""Starting or joining Ray."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import ClusterError

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def connect(
    address: str | None, num_cpus: int | None, object_store_mb: int, dashboard_port: int | None
) -> Iterator[str | None]:
    """Connect to Ray for the time of a ``with`` block; gives the dashboard's URL, or None without one.

    Starts a local cluster on loopback (without a dashboard if ``dashboard_port`` is None), or joins ``address``. When
    this process is connected already, as between the jobs of a multirun, that connection is used and left open.

    Raises:
        ClusterError: if the dashboard's port is taken or the cluster can't be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield _dashboard_url()
        return
    if address is None and dashboard_port is not None:
        _require_free(dashboard_port)
    try:
        if address is None:
            ray.init(
                num_cpus=num_cpus,
                object_store_memory=object_store_mb * 2**20,
                include_dashboard=dashboard_port is not None,
                dashboard_host="127.0.0.1",
                dashboard_port=dashboard_port,
                runtime_env={"env_vars": {"PYTHONPATH": _python_path()}},
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        else:
            ray.init(
                address=address,
                runtime_env={"env_vars": {"PYTHONPATH": _python_path()}},
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except (ConnectionError, TimeoutError) as error:
        raise ClusterError(f"Ray at {address} can't be reached: {error}") from error
    try:
        yield _dashboard_url()
    finally:
        ray.shutdown()


def _dashboard_url() -> str | None:
    import ray

    url = ray._private.worker.get_dashboard_url()
    return f"http://{url}" if url else None


def _python_path() -> str:
    """Workers import the packages that the driver runs from, installed or not."""
    return os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ClusterError(
                f"port {port} on 127.0.0.1 is taken, so the Ray dashboard can't start; "
                f"use cluster.dashboard_port=PORT with another port, or cluster.dashboard=false"
            ) from None
