"""Rules in worker processes: a reward that hangs, crashes or eats memory costs one verdict, a lost worker none."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from curricula.statutes import law_setting
from rewards.confinement import PARTS, clean_environment
from rewards.lifetime import frozen, kill_marked
from rewards.registry import Part, Weights
from rewards.total import expand
from rewards.verdict import Sample, Verdict
from rewards.worker import PROBE, encode_parts, short_of_memory

START_S = 60.0
"""Longest start of a worker."""
STARTS = 5
"""Workers in a row that must fail at their start before that is an error."""
CHUNK = 8
"""Samples that a worker takes at a time."""
LONGEST_ANSWER = 1 << 20
"""Most bytes that a worker may write for one answer."""

log = logging.getLogger(__name__)


class WorkerLost(Exception):
    """A worker died or did not answer in time."""

    def __init__(self, reason: str, outside: bool) -> None:
        super().__init__(reason)
        self.outside = outside
        """Whether something else than the reward may have been the cause."""


class Worker:
    """One worker process, started when it is first asked and again after it was lost."""

    def __init__(self, memory_mb: int, network: bool = False) -> None:
        self.memory_mb, self.network = memory_mb, network
        self._process: subprocess.Popen[bytes] | None = None
        """The supervisor of the process that scores."""
        self._channel: socket.socket | None = None
        self._folder = ""
        """Its temporary folder, whose name no other process has in its environment."""
        self.confined: list[str] = []
        """The parts of the confinement (:mod:`rewards.confinement`) that hold in it."""
        self._told = False
        self.losses: list[str] = []
        """How processes were lost through no fault of a reward, since this was emptied."""
        self._parts: dict[str, Part] | None = None
        self._buffer = bytearray()

    def verdict(self, sample: Sample, parts: dict[str, Part], timeout_s: float) -> Verdict:
        """The verdict on one sample.

        A worker that dies or is frozen is replaced and the sample tried again; the second loss on the same sample, or
        no verdict in time, is an errored verdict.

        Raises:
            ValueError: if the parts can't be set up.
        """
        record = {"sample": [sample.prompt, sample.completion, sample.reference, sample.answer_kind]}
        for again in (True, False):
            self._prepare(parts)
            try:
                return _read(self._ask(record, timeout_s), parts)
            except WorkerLost as lost:
                log.warning("a reward worker was lost and is replaced: %s", lost)
                if lost.outside:
                    self.losses.append(str(lost))
                if not (again and lost.outside):
                    return Verdict.failed(f"the rewards {', '.join(parts)}: {lost}")
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """Kill the process and everything it started."""
        process, channel, folder = self._process, self._channel, self._folder
        self._process = self._channel = self._parts = None
        self._buffer.clear()
        if channel is not None:
            channel.close()
        if process is not None:
            for sign in (signal.SIGTERM, signal.SIGCONT):  # the supervisor may be frozen
                process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.returncode is None or process.returncode < 0:  # it was killed before it could tidy up
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kill_marked(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def _prepare(self, parts: dict[str, Part]) -> None:
        """Have a worker that is set up for parts, however often the last one was lost."""
        if self._process is not None and self._process.poll() is not None:
            lost = self._lost("the worker died")
            log.warning("a reward worker was lost while idle and is replaced: %s", lost)
            self.losses.append(f"{lost} while idle")
        for start in range(1, STARTS + 1):
            if self._process is not None and self._parts == parts:
                return
            try:
                if self._process is None:
                    self._start()
                answer = self._ask({"parts": encode_parts(parts)}, START_S)
            except WorkerLost as lost:
                if start == STARTS:
                    raise ValueError(
                        f"a worker for the rewards {', '.join(parts)} could not start, {STARTS} times in a row: {lost}"
                    ) from None
                log.warning("a reward worker was lost while it was set up, and is replaced: %s", lost)
                self.losses.append(f"{lost} while it was set up")
                continue
            if "error" in answer:
                raise ValueError(answer["error"])
            self._parts, self.confined = parts, answer.get("ready", [])
            lacking = [part for part in PARTS if part not in self.confined]
            if lacking and not self._told:
                log.warning("this kernel does not confine rewards in: %s", ", ".join(lacking))
                self._told = True

    def _start(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="themis-reward-")
        passed = {
            **law_setting().environment(),
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            "TMPDIR": self._folder,
        }
        self._channel, theirs = socket.socketpair()
        with theirs:
            arguments = (os.getpid(), theirs.fileno(), self._folder, self.memory_mb, "network" if self.network else "")
            command = [sys.executable, "-P", "-W", "ignore", "-m", "rewards.worker", *map(str, arguments)]
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=2, env=clean_environment(os.environ) | passed,
                    pass_fds=(theirs.fileno(),), start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                shutil.rmtree(self._folder, ignore_errors=True)
                raise WorkerLost(f"no process could be started: {error}", outside=True) from None

    def _ask(self, record: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        channel = self._channel
        assert channel is not None
        token = secrets.token_hex(8).encode()
        deadline = time.monotonic() + timeout_s
        try:
            channel.settimeout(timeout_s)
            channel.sendall(token + b" " + json.dumps(record).encode() + b"\n")
            line = self._line(channel, token + b" ", deadline)
            found = json.loads(line)
        except TimeoutError:
            if self._process is not None and frozen(self._process.pid):
                raise self._lost("the worker was frozen by a signal", outside=True) from None
            raise self._lost(f"no verdict within {timeout_s:g} s; the worker was killed") from None
        except (OSError, EOFError):
            raise self._lost("the worker died", outside=True) from None
        except ValueError as error:
            raise self._lost(f"the worker's answer can't be read: {error}") from None
        if not isinstance(found, dict):
            raise self._lost("the worker's answer is not an object")
        return found

    def _line(self, channel: socket.socket, token: bytes, deadline: float) -> bytes:
        """What follows the token in the line that starts with it; other lines were written by a reward."""
        total = 0
        while True:
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = rest
            for line in lines:
                if line.startswith(token):
                    return bytes(line[len(token) :])
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            channel.settimeout(left)
            read = channel.recv(1 << 16)
            if not read:
                raise EOFError
            total += len(read)
            if total > LONGEST_ANSWER:
                raise ValueError(f"more than {LONGEST_ANSWER >> 20} MB were written")
            self._buffer += read

    def _lost(self, reason: str, outside: bool = False) -> WorkerLost:
        process, code = self._process, None
        if process is not None and "died" in reason:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(5)
        self.stop()
        if code is not None:
            code = 128 - code if code > 128 else code  # the supervisor's way to say by which signal
            reason += f" (exit status {code})"
        if code is not None and code < 0:  # libraries that can't get memory often end by a signal
            reason += f"; {short_of_memory(self.memory_mb)}"
        return WorkerLost(reason, outside)


def _read(answer: Mapping[str, Any], parts: Mapping[str, Part]) -> Verdict:
    """The verdict that an answer holds; an error if it holds none."""
    score, scores = answer.get("score"), answer.get("parts", {})
    if isinstance(answer.get("error"), str):
        return Verdict.failed(answer["error"])
    if (
        isinstance(scores, dict)
        and scores.keys() == parts.keys()
        and isinstance(answer.get("reason", ""), str)
        and all(isinstance(one, int | float) and math.isfinite(one) for one in (score, *scores.values()))
    ):
        return Verdict.read(answer)
    return Verdict.failed(f"the rewards {', '.join(parts)}: the worker answered with something else than a verdict")


class WorkerPool:
    """Workers that share the samples of a batch."""

    def __init__(
        self, processes: int = 1, timeout_s: float = 10.0, memory_mb: int = 2048, network: bool = False
    ) -> None:
        self.timeout_s = timeout_s
        self.workers = [Worker(memory_mb, network) for _ in range(processes)]
        self._threads = ThreadPoolExecutor(processes)
        self._one_batch = threading.Lock()

    def score(self, samples: Sequence[Sample], weights: Weights) -> list[Verdict]:
        """One verdict a sample, in order.

        Raises:
            ValueError: if a reward is unknown or can't be set up.
        """
        return [verdict for verdict in self.score_some(samples, weights) if verdict is not None]

    def score_some(
        self, samples: Sequence[Sample], weights: Weights, patience_s: float | None = None
    ) -> list[Verdict | None]:
        """Verdicts in order, at least one from each worker that gets samples; None for samples that were not begun
        within ``patience_s``.

        Raises:
            ValueError: if a reward is unknown or can't be set up.
        """
        parts, deadline = expand(weights), time.monotonic() + (math.inf if patience_s is None else patience_s)
        verdicts: list[Verdict | None] = [None] * len(samples)
        places = iter(range(0, len(samples), CHUNK))
        deal = threading.Lock()

        def work(worker: Worker) -> None:
            while True:
                with deal:
                    start = next(places, None)
                if start is None:
                    return
                for place in range(start, min(start + CHUNK, len(samples))):
                    verdicts[place] = worker.verdict(samples[place], parts, self.timeout_s)
                    if time.monotonic() > deadline:
                        return

        with self._one_batch:
            list(self._threads.map(work, self.workers))
        return verdicts

    def check(self, weights: Mapping[str, float | Part]) -> None:
        """Try the parts in every worker; those given as module:function are called once on a small sample.

        Raises:
            ValueError: naming what went wrong. A ValueError of the function itself is allowed, since the sample's
                reference may not be of its kind.
        """
        parts = expand(weights)
        own = {name: part for name, part in parts.items() if ":" in name}
        for found in self._threads.map(
            lambda worker: worker.verdict(PROBE, own or parts, self.timeout_s), self.workers
        ):
            if own and found.error is not None and "raised ValueError" not in found.error:
                raise ValueError(f"tried on a small sample: {found.error}")

    def losses(self) -> list[str]:
        """How worker processes were lost since this was asked last."""
        found = [one for worker in self.workers for one in worker.losses]
        for worker in self.workers:
            worker.losses.clear()
        return found

    def close(self) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.stop()
        self._threads.shutdown(cancel_futures=True)
