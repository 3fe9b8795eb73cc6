"""Starting or joining Ray."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster.address import VARIABLE, Address, chosen, require_answer
from cluster.errors import ClusterError
from cluster.home import require_home
from cluster.loopback import ONE_MACHINE, loopback_node, require_closed, require_token
from cluster.placement import Resources, require_here
from cluster.processes import remaining
from cluster.scratch import scratch_folder
from cluster.shipping import ROOT, shipment

DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of the other ranks when one has died: tracebacks of what is told in a line
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # a job that was submitted to Ray gets our PYTHONPATH, which holds its own
}
FOR_WORKERS = {"RAY_kill_child_processes_on_worker_exit": "0"}
"""What an actor starts has a supervisor that ends it. Ray would kill the supervisor first, and leave the others."""
WAIT = "RAY_gcs_server_port_wait_time_s"
PORTS = 20
"""How many ports are tried for the dashboard."""
ATTEMPTS = 4
"""Ray gives its second process 30 s, which nothing can change and a busy machine may exceed."""
PATIENCE_S = 120
"""How long further attempts to start wait for Ray's first process (seconds); Ray's default is 30."""
GRACE_S = 5
"""How long Ray's processes have to end by themselves (seconds)."""
LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket on Linux."""
SOCKET = "ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path that Ray makes below its temporary folder."""


@contextmanager
def connect(
    address: str | None,
    num_cpus: int | None,
    object_store_mb: int,
    dashboard_port: int | None,
    bundles: Sequence[Resources] = (),
    ship: Sequence[Path] | None = None,
    name: str = "",
) -> Iterator[str | None]:
    """Connect to Ray within a ``with`` block; gives the dashboard's URL, or None without one.

    Joins the cluster at ``address``, or at the environment's ``RAY_ADDRESS`` where ``address`` is None or ``auto``;
    else, and for ``local``, starts a cluster on loopback that asks for the user's token (without a dashboard if
    ``dashboard_port`` is None), unless this machine can never give the ``bundles`` that the caller will reserve. With
    ``ship`` a cluster that is joined gets our code, and these paths beside it (:mod:`cluster.shipping`); with None it
    has the code. The dashboard lists this process as ``name``. When this process is connected already, as between the
    jobs of a multirun, that connection is used and left open.

    Raises:
        ClusterError: if the cluster can't be reached, or none can be started, such as when no port is free for the
            dashboard, the temporary folder can't be used, or the machine is too small.
    """
    require_home()
    for variable, value in DEFAULTS.items():
        os.environ.setdefault(variable, value)
    import ray

    if ray.is_initialized():
        yield _dashboard_url()
        return
    running = chosen(address)
    with ExitStack() as stack:
        if running is None:
            require_here(bundles, num_cpus)
            variables, before = ONE_MACHINE | stack.enter_context(scratch_folder()), _children()
            with _deaf_to_hangup():
                _start(num_cpus, object_store_mb, dashboard_port, variables, name)
            stack.callback(_end, _children() - before)
        else:
            _join(running, None if ship is None else stack.enter_context(shipment(ship)), name)
        try:
            yield _dashboard_url()
        finally:
            ray.shutdown()


@contextmanager
def _deaf_to_hangup() -> Iterator[None]:
    """Within it, processes are started that go on when the terminal is closed. Ray must not end before this process,
    which could then not end it in good order, and would wait for it for a minute."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # inherited; one that comes now is heard after
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _join(address: Address, code: str | None, name: str) -> None:
    import ray

    if address.variable:
        _say(f"{VARIABLE}={address.text} is used, as cluster.address; cluster.address=local starts a local Ray")
    require_answer(address)
    try:
        with loopback_node():  # an address on loopback stays there
            _init({}, code, name, address=address.text)
    except Exception as error:  # Ray raises errors of its own, ValueError, RuntimeError and OSError
        with suppress(Exception):
            ray.shutdown()
        raise address.lost(f"{error}{_ray_variables()}") from error


def _start(
    num_cpus: int | None, object_store_mb: int, dashboard_port: int | None, variables: dict[str, str], name: str
) -> None:
    """Start a local cluster; up to :data:`ATTEMPTS` times, with more patience, where the machine is slow."""
    import ray

    _require_temporary_folder()
    require_token()
    if dashboard_port is not None:
        dashboard_port = free_port_from(dashboard_port)
    before = _children()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with loopback_node():
                _init(
                    variables,
                    None,
                    name,
                    address="local",  # without it Ray joins any cluster that was started on this machine
                    num_cpus=num_cpus,
                    object_store_memory=object_store_mb * 2**20,
                    include_dashboard=dashboard_port is not None,
                    dashboard_host="127.0.0.1",
                    dashboard_port=dashboard_port,
                    # It would start a worker for each CPU. Each actor has one of its own, with its environment.
                    _system_config={"prestart_worker_first_driver": False},
                )
            break
        except Exception as error:  # a start that takes too long is a bare Exception
            slow = _undo(before)
            if attempt == ATTEMPTS or not slow:
                raise ClusterError(
                    f"Ray could not be started: {type(error).__name__}: {error}{_ray_variables()}. Close other "
                    f"programs if the machine is busy, then run the same command again; python -m tools.doctor looks "
                    f"for more"
                ) from error
            _say(f"Ray did not start ({error}); trying once more, with {PATIENCE_S} s for its first process")
            os.environ[WAIT] = str(PATIENCE_S)
    try:
        require_closed()
    except ClusterError:
        ray.shutdown()
        raise


def _init(variables: dict[str, str], code: str | None, name: str, **options: Any) -> None:
    """Connect to Ray; ``variables`` are added to the environment of its workers, which start in a copy of the folder
    ``code`` if there is one. The job is called ``name``."""
    import ray
    from ray.job_config import JobConfig

    named = {"job_name": name} if name else {}
    with _same_end():
        ray.init(
            runtime_env={
                "env_vars": {"PYTHONPATH": _python_path(), **FOR_WORKERS, **variables},
                **({} if code is None else {"working_dir": code}),
            },
            # Ray's client can't send one.
            **({} if options["address"].startswith("ray://") else {"job_config": JobConfig(metadata=named)}),
            logging_level=logging.ERROR,
            log_to_driver=False,
            **options,
        )


@contextmanager
def _same_end() -> Iterator[None]:
    """Keep what this process does at SIGTERM. Ray would print a stack, and abort what takes more than 3 s to end."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _undo(before: set[Any]) -> bool:
    """End what a failed start has left. Returns whether Ray's first process still ran: then the start was only slow."""
    import psutil
    import ray

    orphans, slow = list(_children() - before), False
    for one in orphans:
        with suppress(psutil.NoSuchProcess):
            slow |= one.name() == "gcs_server" and one.status() != psutil.STATUS_ZOMBIE
            one.kill()
    with suppress(Exception):
        ray.shutdown()
    remaining(orphans, within_s=10)
    return slow


def _end(processes: set[Any]) -> None:
    """See that Ray's own processes end: agents whose gcs_server was killed wait for it for good."""
    import psutil

    for one in remaining(processes, GRACE_S):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    remaining(processes, GRACE_S)


def _children() -> set[Any]:
    import psutil

    return set(psutil.Process().children(recursive=True))


def _ray_variables() -> str:
    """The environment variables that change what Ray does, except those that Ray and this module set."""
    ours = {*DEFAULTS, WAIT, VARIABLE, "RAY_AUTH_MODE", "RAY_CLIENT_MODE"}
    found = sorted(name for name in os.environ if name.startswith("RAY_") and name not in ours)
    return f" (the environment sets {', '.join(found)}; unset what is not meant)" if found else ""


def _require_temporary_folder() -> None:
    """Ray's temporary folder must be writable and short enough for its sockets. An unusable one is replaced if
    ``TMPDIR`` names it, which is for all programs.

    Raises:
        ClusterError: if ``RAY_TMPDIR`` names it, or nothing does.
    """
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    folder = os.environ[variable] if variable else "/tmp"
    problem = _unusable(folder)
    if problem and variable == "TMPDIR":
        problem, other = _unusable("/tmp"), problem
        _say(f"TMPDIR={folder} {other}: Ray's temporary folder is /tmp/ray")
        os.environ["RAY_TMPDIR"] = "/tmp"
    if problem:
        named = f"which the environment variable {variable} names, " if variable else ""
        raise ClusterError(
            f"the folder {folder or '(empty)'}, {named}{problem}, so Ray can't start; set RAY_TMPDIR to a short "
            f"path that can be written to, such as /tmp"
        )


def _unusable(folder: str) -> str:
    """What is wrong with a temporary folder; empty if nothing is."""
    path = Path(folder)
    if not path.is_absolute():
        return "is not an absolute path"
    most = LONGEST_SOCKET - len(SOCKET) - 1
    if len(os.fsencode(path)) > most:
        return f"is longer than the {most} bytes that leave room for the paths of Ray's sockets"
    try:
        (path / "ray").mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path / "ray").close()
    except OSError as error:
        return f"can't be written to ({error.strerror})"
    return ""


def _dashboard_url() -> str | None:
    import ray
    import ray.util.client

    if ray.util.client.ray.is_connected():  # Ray's client does not know it
        return None
    url = ray._private.worker.get_dashboard_url()
    return f"http://{url}" if url else None


def log_folder() -> str | None:
    """The folder of Ray's logs on this machine; None without Ray, and where Ray's client does not know it."""
    import ray

    node = ray._private.worker._global_node
    return None if node is None else str(Path(node.get_session_dir_path(), "logs"))


def _python_path() -> str:
    """Workers import the packages that the driver runs from, installed or not."""
    ours = "" if str(ROOT) == sysconfig.get_path("purelib") else str(ROOT)  # which must not come before Python's own
    return os.pathsep.join(part for part in (ours, os.environ.get("PYTHONPATH", "")) if part)


def free_port_from(port: int) -> int:
    """This port of 127.0.0.1, or the next one that is free, as where another run of this machine has its dashboard.

    Raises:
        ClusterError: if none of :data:`PORTS` is free.
    """
    for number in range(port, min(port + PORTS, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", number))
                if number != port:
                    _say(f"port {port} on 127.0.0.1 is taken, so the Ray dashboard is on {number}")
                return number
    raise ClusterError(
        f"port {port} on 127.0.0.1 is taken, and so are the next {PORTS - 1}, so the Ray dashboard can't start; use "
        f"cluster.dashboard_port=PORT with another port, or cluster.dashboard=false"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
