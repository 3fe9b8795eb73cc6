"""Which Ray is joined or started, by the environment. Each case is a separate process, as for a user."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONNECT = """
import sys
import cluster.address
from cluster.errors import ClusterError
from cluster.ray_cluster import connect
cluster.address.ANSWER_S = float(sys.argv[2]) if len(sys.argv) > 2 else 200
try:
    with connect(sys.argv[1] if len(sys.argv) > 1 else None, 1, 80, None):
        import ray
        answer = ray.get(ray.remote(lambda: 6 * 7).remote(), timeout=200)
        print("CPUs", ray.cluster_resources()["CPU"], "answer", answer)
except ClusterError as error:
    import psutil
    print("ClusterError:", error)
    print("left:", [one.name() for one in psutil.Process().children(recursive=True)])
"""

PATIENCE = {
    "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "200", "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "100",
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "100",
    "RAY_gcs_server_port_wait_time_s": "200",
}  # fmt: skip
"""For a busy machine: Ray's client, for one, starts a server in a process of its own for each that joins."""


def run(code, *arguments, unset=(), **variables):
    """What a new Python process says, with another environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_") and key not in unset}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout, done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def running():
    """(port of a Ray with 3 CPUs, its client's port, its temporary folder)."""
    folder, port, client = tempfile.mkdtemp(dir="/tmp"), free_port(), free_port()
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=3", f"--port={port}",
        f"--ray-client-server-port={client}", "--include-dashboard=false", "--object-store-memory=80000000",
    ]  # fmt: skip
    environment = os.environ | {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0", **PATIENCE}
    said = Path(folder, "said.txt")

    def started():
        with said.open("a") as file:
            return subprocess.Popen(command, env=environment, stdout=file, stderr=file)

    ray, deadline = started(), time.monotonic() + 500
    try:
        while not (Path(folder, "ray/ray_current_cluster").exists() and listens(client)):
            assert time.monotonic() < deadline, said.read_text()[-2000:]
            if ray.poll() is not None:  # it gives its own processes 30 s, which a busy machine may exceed
                ray = started()
            time.sleep(0.2)
        yield port, client, folder
    finally:
        ray.send_signal(signal.SIGTERM)
        ray.wait(200)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_machine_that_is_too_small_starts_no_ray():
    """Four ranks where the local cluster is given two CPUs."""
    code = CONNECT.replace("1, 80, None)", "2, 80, None, [{'CPU': 1.0}] * 4)")
    out, _ = run(code, "local")
    assert "ClusterError: this run asks for more" in out and "missing  2 CPU" in out and "left: []" in out


def test_the_program_decides_how_it_ends_at_sigterm():
    """Ray's own handler would set an alarm that aborts the process after 3 s, however much there is to close."""
    code = """
    import os, signal
    from cluster.ray_cluster import connect
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append("SIGTERM"))
    with connect("local", 1, 80, None):
        os.kill(os.getpid(), signal.SIGTERM)
        print(seen, "alarm in", signal.getitimer(signal.ITIMER_REAL)[0])
    """
    assert run(code) == ("['SIGTERM'] alarm in 0.0\n", "")


def test_the_address_of_the_environment_is_joined_and_named(running):
    port, _, _ = running
    # A job that was submitted to Ray has its own variables, PYTHONPATH among them.
    job = '{"runtime_env": {"env_vars": {"PYTHONPATH": "/nowhere"}}, "metadata": {}}'
    said, printed = run(CONNECT, RAY_ADDRESS=f"127.0.0.1:{port}", RAY_JOB_CONFIG_JSON_ENV_VAR=job)
    assert said == "CPUs 3.0 answer 42\n"
    assert f"RAY_ADDRESS=127.0.0.1:{port} is used, as cluster.address" in printed


def test_ray_client_addresses_are_joined(running):
    said, _ = run(CONNECT, RAY_ADDRESS=f"ray://127.0.0.1:{running[1]}", RAY_NAMESPACE="another one", **PATIENCE)
    assert said.startswith("CPUs 3")


def test_a_ray_that_others_reach_is_not_taken_for_a_closed_one(running):
    code = """
    import sys
    from cluster.errors import ClusterError
    from cluster.loopback import is_loopback, require_closed
    from cluster.ray_cluster import connect
    with connect(sys.argv[1], 1, 80, None):
        from ray.util import get_node_ip_address
        print(is_loopback(get_node_ip_address()))
        try:
            require_closed()
        except ClusterError as error:
            print(error)
    """
    alone, _, said = run(code, f"127.0.0.1:{running[0]}")[0].partition("\n")
    if alone == "True":
        pytest.skip("this machine has no address but loopback")
    assert "not on loopback" in said


def test_auto_finds_what_runs_and_nothing_joins_it_by_accident(running):
    folder = running[2]
    assert run(CONNECT, "auto", RAY_TMPDIR=folder)[0].startswith("CPUs 3")
    assert run(CONNECT, RAY_TMPDIR=folder)[0].startswith("CPUs 1")


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "http://127.0.0.1:{}", "no address"])
def test_an_address_without_a_ray_is_a_sentence(form):
    address = form.format(free_port())
    said, _ = run(CONNECT, RAY_ADDRESS=address)
    assert said.startswith(
        f"ClusterError: Ray at {address}, which the environment variable RAY_ADDRESS names, can't be"
    )
    assert "unset RAY_ADDRESS" in said


def test_a_server_that_is_no_ray_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and says nothing
        said, _ = run(CONNECT, f"ray://127.0.0.1:{server.getsockname()[1]}", "2")
    assert "no Ray answers at 127.0.0.1:" in said and "cluster.address or --ray-address" in said


def test_variables_that_break_ray_are_named(running):
    said, _ = run(CONNECT, RAY_ADDRESS=f"127.0.0.1:{running[0]}", RAY_JOB_CONFIG_JSON_ENV_VAR="{")
    assert "the environment sets RAY_JOB_CONFIG_JSON_ENV_VAR; unset what is not meant" in said


def test_a_temporary_folder_of_no_use_is_named(tmp_path):
    said, _ = run(CONNECT, RAY_TMPDIR=str(tmp_path / ("long" * 12)))
    assert f"{tmp_path / ('long' * 12)}, which the environment variable RAY_TMPDIR names, is longer than the" in said
    assert "RAY_TMPDIR names, can't be written to" in run(CONNECT, RAY_TMPDIR="/proc/none")[0]


def test_a_local_ray_starts_on_purpose_slowly_and_where_tmpdir_is_too_long(running, tmp_path):
    long = tmp_path / ("long" * 12)
    long.mkdir()
    said, printed = run(
        CONNECT, "local", RAY_ADDRESS=f"127.0.0.1:{running[0]}", TMPDIR=str(long), RAY_gcs_server_port_wait_time_s="0"
    )
    assert said.startswith("CPUs 1") and "trying once more" in printed and f"TMPDIR={long} is longer" in printed


def test_a_start_that_fails_leaves_no_process():
    said, printed = run(CONNECT, RAY_gcs_server_port_wait_time_s="3", RAY_gcs_storage="no such storage")
    assert "ClusterError: Ray could not be started" in said and "RAY_gcs_storage" in said
    assert "left: []" in said and "trying once more" not in printed


def test_an_error_that_nobody_asks_for_is_not_printed(ray_cluster, monkeypatch):
    """Ray prints the traceback of an answer that is dropped unread, as those of ranks that wait for a dead one are."""
    import ray._private.worker as worker

    printed = []
    monkeypatch.setattr(worker, "_unhandled_error_handler", printed.append)
    monkeypatch.setattr(worker.global_worker, "deserialize_objects", lambda *_: [ValueError("of a task")])
    worker.global_worker.raise_errors([], [])
    assert not printed
    monkeypatch.delenv("RAY_IGNORE_UNHANDLED_ERRORS")
    worker.global_worker.raise_errors([], [])
    assert len(printed) == 1, "this is where Ray would"


def test_a_closed_terminal_does_not_end_ray_before_the_process_that_uses_it(ray_cluster):
    import ray

    found = ray._private.worker._global_node.all_processes
    for process in (found["gcs_server"][0].process, found["raylet"][0].process):
        status = Path(f"/proc/{process.pid}/status").read_text()
        blocked = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigBlk"))
        assert blocked >> (signal.SIGHUP - 1) & 1
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "this process still hears it"


def test_a_process_that_is_connected_stays_so(ray_cluster):
    """As between the runs of a sweep that go one after another."""
    import ray

    from cluster.ray_cluster import connect

    before = ray.get_runtime_context().gcs_address
    with connect(None, 1, 80, None):
        assert ray.get_runtime_context().gcs_address == before
    assert ray.is_initialized()
