"""``python -m tools.launch job``: a run as a job of a Ray that runs already, and a Ray that does not take it."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.launch import submit
from tests.cluster.slurm_daemons import until
from tests.e2e.runs import ROOT, left_over, metrics
from tests.sockets import family

SENT = {"submission_id": "themis-x-1", "entrypoint": "true", "runtime_env": {}, "metadata": {}}
PATIENCE_S = 1200


@contextmanager
def dashboard(answers: list[tuple[int, str]]) -> Iterator[str]:
    """The address of a dashboard of Ray's version that answers submissions with these, the last for good."""
    import json

    import ray

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, json.dumps({"version": "4", "ray_version": ray.__version__, "ray_commit": ""}))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(*(answers.pop(0) if len(answers) > 1 else answers[0]))

        def answer(self, code: int, text: str) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


NO_AGENT = (500, "No available agent to submit job, please try again later.")
TAKEN = (200, '{"job_id": "themis-x-1", "submission_id": "themis-x-1"}')
KNOWN = (400, "ValueError: Job with submission_id themis-x-1 already exists. Please use a different submission_id.")


@pytest.mark.parametrize("last", [TAKEN, KNOWN], ids=["taken", "taken by the call before"])
def test_a_ray_that_is_not_ready_is_asked_again(last, capsys):
    with dashboard([NO_AGENT, last]) as address:
        assert submit.submit(address, SENT) == "themis-x-1"
    printed = capsys.readouterr().out
    assert f"asking the Ray at {address}" in printed and "the agent of its head node is not up" in printed


def test_a_ray_that_never_takes_it_is_a_sentence():
    with (
        dashboard([NO_AGENT]) as address,
        pytest.raises(ClusterError, match=rf"{address} did not take .* agent .* not up.*--dashboard-agent-listen-port"),
    ):
        submit.submit(address, SENT, within_s=0.5)


def test_a_job_that_is_refused_is_not_sent_again():
    with dashboard([KNOWN, TAKEN]) as address, pytest.raises(ClusterError, match=r"could not be submitted.*already"):
        submit.submit(address, SENT)


def test_a_dashboard_that_is_silent_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterError, match=r"did not answer within 0.2 s.*ray job status .* themis-x-1"):
            submit.submit(address, SENT, within_s=0.5, answer_s=0.2)


@pytest.mark.parametrize("name", submit.BEFORE_OURS)
def test_an_environment_that_names_another_ray_is_refused(name, monkeypatch):
    monkeypatch.setenv(name, "10.0.0.9:6379")
    with pytest.raises(ClusterError, match=rf"sets {name}=10.0.0.9:6379, which Ray takes before --address .*unset"):
        submit.submit("http://127.0.0.1:9", SENT)


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_S)
def test_a_job_is_followed_stopped_and_resumed(tmp_path, tmp_path_factory):
    """By the commands of the guide, on a Ray with a token."""
    run, (gcs, port, agent) = tmp_path / "run", free_ports(3)
    folder = tmp_path_factory.mktemp("r")
    environment = {name: value for name, value in os.environ.items() if name not in submit.BEFORE_OURS}
    environment |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0" * 64,
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    address = f"http://127.0.0.1:{port}"

    def said(*words: str) -> str:
        answer = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    def launched() -> str:
        printed = said(
            sys.executable, "-m", "tools.launch", "job", "+curriculum=smoke", f"run_dir={run}",
            "tracker.wandb=disabled", "trainer.checkpoint_every=2", "--address", address,
        )  # fmt: skip
        return re.findall(r"ray job stop --address \S+ (\S+) stops it", printed)[0]

    def job(verb: str, name: str, *options: str) -> str:
        return said(*ray, "job", verb, "--address", address, name, *options)

    def ended(name: str) -> str:
        job("logs", name, "--follow")
        return next(word for word in ("SUCCEEDED", "FAILED", "STOPPED") if word in job("status", name).upper())

    head = subprocess.Popen(
        [*ray, "start", "--head", "--block", f"--port={gcs}", "--node-ip-address=127.0.0.1", "--num-cpus=4",
         "--dashboard-host=127.0.0.1", f"--dashboard-port={port}", f"--dashboard-agent-listen-port={agent}",
         "--object-store-memory=200000000"],
        env=environment, stdout=(tmp_path / "head.log").open("w"), stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        until(lambda: listens(port), (tmp_path / "head.log").read_text, PATIENCE_S)
        first = launched()
        until(lambda: step_of(run) > 4, lambda: job("logs", first), PATIENCE_S)
        job("stop", first)
        assert ended(first) == "STOPPED", job("logs", first)
        printed, stopped_at = job("logs", first), len(metrics(run))
        assert "the run ends when its step is done and saved" in printed and "Traceback" not in printed, printed
        assert "the same command goes on from what was saved" in printed and not (run / "results.json").exists()
        second = launched()
        assert ended(second) == "SUCCEEDED", job("logs", second)
        lines = [(line["stage"], line["step"]) for line in metrics(run)]
        assert len(set(lines)) == len(lines) > stopped_at and (run / "results.json").exists()
        assert "goes on after step" in job("logs", second)
    finally:
        everything = list(family(head.pid))
        head.kill()
        for one in everything:
            one.kill()
        assert not left_over(everything)


def step_of(run: Path) -> int:
    """The last step of the stage sft."""
    return max((line["step"] for line in metrics(run) if line["stage"] == "sft"), default=-1)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(number: int) -> list[int]:
    """Ports that nobody has taken now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
