"""Rules in worker processes: a reward that hangs, crashes or eats memory costs one verdict."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from curricula.statutes import law_setting
from rewards.registry import Part, Weights
from rewards.total import expand
from rewards.verdict import Sample, Verdict
from rewards.worker import PROBE, encode_parts, short_of_memory

START_S = 60.0
"""Longest start of a worker."""
CHUNK = 8
"""Samples that a worker takes at a time."""


class WorkerLost(Exception):
    """A worker died or did not answer in time."""


class Worker:
    """One worker process, started when it is first asked and again after it was lost."""

    def __init__(self, memory_mb: int) -> None:
        self.memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._parts: dict[str, Part] | None = None
        self._buffer = b""

    def verdict(self, sample: Sample, parts: dict[str, Part], timeout_s: float) -> Verdict:
        """The verdict on one sample; an error if the worker was lost on it.

        Raises:
            ValueError: if the parts can't be set up.
        """
        self._prepare(parts)
        record = {"sample": [sample.prompt, sample.completion, sample.reference, sample.answer_kind]}
        try:
            return Verdict.read(self._ask(record, timeout_s))
        except WorkerLost as lost:
            return Verdict.failed(f"the rewards {', '.join(parts)}: {lost}")

    def stop(self) -> None:
        """Kill the process and everything it started."""
        process, self._process, self._parts, self._buffer = self._process, None, None, b""
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _prepare(self, parts: dict[str, Part]) -> None:
        if self._process is not None and self._parts == parts:
            return
        if self._process is None:
            paths = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
            environment = {**os.environ, **law_setting().environment(), **paths}
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "rewards.worker", str(self.memory_mb)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True,
            )  # fmt: skip
        try:
            answer = self._ask({"parts": encode_parts(parts)}, START_S)
        except WorkerLost as lost:
            raise ValueError(f"a worker for the rewards {', '.join(parts)} could not start: {lost}") from None
        if "error" in answer:
            raise ValueError(answer["error"])
        self._parts = parts

    def _ask(self, record: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(record).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise self._lost("the worker died") from None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._lost(f"no verdict within {timeout_s:g} s; the worker was killed")
                read = os.read(process.stdout.fileno(), 1 << 16)
                if not read:
                    raise self._lost("the worker died")
                self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _lost(self, reason: str) -> WorkerLost:
        process = self._process
        code = None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(0.5) if "died" in reason else None
        self.stop()
        if code is not None:
            reason += f" (exit status {code})"
        if code is not None and code < 0:  # libraries that can't get memory often end by a signal
            reason += f"; {short_of_memory(self.memory_mb)}"
        return WorkerLost(reason)


class WorkerPool:
    """Workers that share the samples of a batch."""

    def __init__(self, processes: int = 1, timeout_s: float = 10.0, memory_mb: int = 2048) -> None:
        self.timeout_s = timeout_s
        self.workers = [Worker(memory_mb) for _ in range(processes)]
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

    def close(self) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.stop()
        self._threads.shutdown(cancel_futures=True)
