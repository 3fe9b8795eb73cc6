"""The judge actor: scores the rewards that a judge decides. It has its own process, since a judge may be slow."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.loopback import ONE_MACHINE
from curricula.statutes import Setting, use_law
from rewards.judge.client import JudgeSettings
from rewards.judge.service import JudgeService
from rewards.lifetime import kill_marked
from rewards.pool import WorkerPool
from rewards.registry import Weights
from rewards.total import expand
from rewards.verdict import Sample, Verdict
from rl.actors.vllm_engine import flags, shared_options
from rl.config.schema import JudgeConfig, RewardConfig
from rl.device import named
from rl.errors import UserError

LOOPBACK = "127.0.0.1"
SERVER = "vllm.entrypoints.openai.api_server"
SERVERS = 3
"""How often a batch is asked for when the server dies each time, and a server is started that dies meanwhile."""
KV_CACHE_GB = 1
"""Key-value cache of a judge that is served on the CPU (GiB)."""


class JudgeActor:
    """Scores by the rules of the statute judge, or by a language model. The model is served elsewhere, or by this actor
    with vLLM on loopback; both are asked through the same client."""

    def __init__(
        self, config: JudgeConfig, reward: RewardConfig, cache: Path | None, device: str, law: Setting | None = None
    ) -> None:
        """``law`` is the law that judges read; None keeps the setting of this process."""
        if law is not None:
            use_law(law.as_of, law.folder)
        self.config = config
        self.pool: WorkerPool | None = None
        self.service: JudgeService | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._losses: list[str] = []
        if config.kind == "statute":
            self.pool = WorkerPool(reward.processes, reward.verdict_timeout_s, reward.memory_mb)
            return
        assert config.model is not None
        self.device = device
        self.key = os.environ.get(config.api_key_env) if config.base_url else secrets.token_hex()
        url = config.base_url or self._serve(tried=False)
        settings = JudgeSettings(
            base_url=url,
            model=config.model,
            api_key=self.key,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            votes=config.votes,
            concurrency=config.concurrency,
            requests_per_s=config.requests_per_s,
            timeout_s=config.timeout_s,
            retries=config.retries,
            guided=config.guided,
            price_in=config.price_in,
            price_out=config.price_out,
        )
        self.service = JudgeService(settings, cache, config.language, config.fallback, config.batch_timeout_s)

    def check(self, sums: Sequence[Weights]) -> None:
        """Set up every weighted sum of rewards.

        Raises:
            ValueError: if a reward is unknown.
        """
        for weights in sums:
            if self.pool is not None:
                self.pool.check(weights)
            expand(weights)

    def score(
        self, samples: Sequence[Sample], weights: Weights, patience_s: float | None = None
    ) -> Sequence[Verdict | None]:
        """One verdict per sample, in order; None where the rules did not start within ``patience_s`` seconds."""
        if self.pool is not None:
            return self.pool.score_some(samples, weights, patience_s)
        assert self.service is not None
        for _ in range(SERVERS):
            verdicts = self.service.score(samples, expand(weights))
            if not self._replace_server() or not any(verdict.error for verdict in verdicts):
                break
        return verdicts

    def losses(self) -> list[str]:
        """How workers or the model's server were lost since this was asked last; each was replaced."""
        found, self._losses = self._losses, []
        return found + [f"worker {why}" for why in (self.pool.losses() if self.pool else ())]

    def metrics(self) -> dict[str, float]:
        """Requests, hit rate, errors, latency and cost since the start; empty for the statute judge."""
        return {} if self.service is None else self.service.metrics()

    def _replace_server(self) -> bool:
        """Start the model's server again if it has ended; returns whether it had."""
        if self.service is None or self._server is None or self._server.poll() is None:
            return False
        self._losses.append(f"server died (exit status {self._server.returncode})")
        self._end_server()
        self.service.settings = replace(self.service.settings, base_url=self._serve(tried=True))
        return True

    def _serve(self, tried: bool) -> str:
        """Start the model's server; again if it dies meanwhile, unless it may be the model's fault: it ended by itself
        and has not been ``tried`` before. Returns its address.

        Raises:
            UserError: if it exits each time or does not answer in time.
        """
        for _ in range(SERVERS):
            url, status = self._start_server()
            if url is not None:
                return url
            self._end_server()
            if 0 < status < 128 and not tried:
                raise UserError(f"the judge's vLLM server exited with status {status}: see its log")
            self._losses.append(f"server died while it started (exit status {status})")
        raise UserError(f"the judge's vLLM server died {SERVERS} times while it started: {'; '.join(self._losses)}")

    def _start_server(self) -> tuple[str | None, int]:
        """Start vLLM's server as a child process and wait until it answers; returns its address, or None and its exit
        status.

        Whoever asks it needs the key: every user of this machine and every page in a browser reaches its port.

        Raises:
            UserError: if it does not answer in time.
        """
        config = self.config
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = probe.getsockname()[1]
        command = [
            sys.executable, "-P", "-m", "rewards.lifetime", str(os.getpid()), sys.executable, "-P", "-m", SERVER,
            *flags(server_options(config, self.device)),
            "--host", LOOPBACK, "--port", str(port), "--disable-log-stats", "--no-enable-log-requests",
        ]  # fmt: skip
        environment = os.environ | ONE_MACHINE | named(self.device).vllm_environment(KV_CACHE_GB, eager=True)
        environment["VLLM_API_KEY"] = str(self.key)
        self._server = subprocess.Popen(command, env=environment, start_new_session=True)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # without the environment's proxies
        deadline = time.monotonic() + config.start_timeout_s
        while time.monotonic() < deadline:
            if self._server.poll() is not None:
                return None, int(self._server.returncode)
            with contextlib.suppress(OSError, urllib.error.URLError):
                direct.open(f"http://{LOOPBACK}:{port}/health", timeout=2).close()
                return f"http://{LOOPBACK}:{port}/v1", 0
            time.sleep(0.5)
        self.close()
        raise UserError(
            f"the judge's vLLM server did not answer within judge.start_timeout_s={config.start_timeout_s:.0f} s; "
            f"raise it where the machine is slow"
        )

    def close(self) -> list[str]:
        """Stop the server and the workers; returns :meth:`losses`."""
        found = self.losses()
        self._end_server()
        if self.pool is not None:
            self.pool.close()
        return found

    def _end_server(self) -> None:
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                self._server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(20)  # more than its supervisor takes
            kill_marked(str(self.key))  # what is left if the supervisor was killed


def server_options(config: JudgeConfig, device: str) -> dict[str, Any]:
    """vLLM's options of a judge that the actor serves itself."""
    memory = config.gpu_memory_utilization
    return {
        **shared_options(str(config.model), named(device), config.max_model_len, memory, eager=True),
        **named(device).vllm_seeded_requests(config.max_model_len),
        "structured_outputs_config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
        # Else the model's folder decides about sampling where a request says nothing.
        "generation_config": "vllm",
    }
