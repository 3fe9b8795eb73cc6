"""A judge's model, served by vLLM on loopback as a child process, which is started again when it is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from rl.actors.vllm_engine import flags, shared_options
from rl.config.schema import JudgeConfig
from rl.device import named

LOOPBACK = "127.0.0.1"
KV_CACHE_GB = 1
"""Key-value cache of a judge that is served on the CPU (GiB)."""
SILENCE_S = 30.0
"""A server that has nothing to do and says nothing for so long is lost (seconds)."""


class JudgeServer:
    """One server, at one address for as long as it is used."""

    def __init__(self, config: JudgeConfig, device: str) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: if it exits or does not answer in time.
        """
        self.config, self.device = config, device
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            self._port: int = probe.getsockname()[1]
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # without the environment's proxies
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    @property
    def url(self) -> str:
        """Its address for OpenAI's client."""
        return f"http://{LOOPBACK}:{self._port}/v1"

    def revive(self) -> str:
        """Start it again if it was lost: died, without its engine, or frozen. Returns how; empty if it was not.

        Raises:
            RuntimeError: if it can't be started again.
        """
        code = self._process.poll() if self._process else None
        if code is None and self._answers(SILENCE_S):
            return ""
        why = "did not answer" if code is None else f"died (exit status {code})"
        print(f"the judge's server {why} and is started again", file=sys.stderr, flush=True)
        self.stop(wait_s=0)
        self._start()
        return why

    def stop(self, wait_s: float = 10.0) -> None:
        """End it and all that it started; it gets ``wait_s`` seconds to close what it holds."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self) -> None:
        command = [
            sys.executable, "-m", "rewards.lifetime", sys.executable, "-m", "vllm.entrypoints.openai.api_server",
            *flags(server_options(self.config, self.device)),
            "--host", LOOPBACK, "--port", str(self._port), "--disable-log-stats", "--no-enable-log-requests",
        ]  # fmt: skip
        environment = os.environ | named(self.device).vllm_environment(KV_CACHE_GB, eager=True)
        self._process = process = subprocess.Popen(command, env=environment, start_new_session=True)
        deadline = time.monotonic() + self.config.start_timeout_s
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the judge's vLLM server exited with status {process.returncode}: see its log")
            if self._answers(2):
                return
            time.sleep(0.5)
        self.stop()
        raise RuntimeError(f"the judge's vLLM server did not answer within {self.config.start_timeout_s:.0f} s")

    def _answers(self, timeout_s: float) -> bool:
        with contextlib.suppress(OSError, urllib.error.URLError):
            self._direct.open(f"http://{LOOPBACK}:{self._port}/health", timeout=timeout_s).close()
            return True
        return False


def server_options(config: JudgeConfig, device: str) -> dict[str, Any]:
    """vLLM's options of a judge that its actor serves itself."""
    memory = config.gpu_memory_utilization
    return {
        **shared_options(str(config.model), named(device), config.max_model_len, memory, eager=True),
        "structured_outputs_config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
        # Else the model's folder decides about sampling where a request says nothing.
        "generation_config": "vllm",
    }
