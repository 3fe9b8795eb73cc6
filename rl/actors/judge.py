"""The judge actor: scores the rewards that a judge decides. It has its own process, since a judge may be slow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from curricula.statutes import Setting, use_law
from rewards.judge.client import JudgeSettings
from rewards.judge.service import JudgeService
from rewards.pool import WorkerPool
from rewards.registry import Weights
from rewards.total import expand
from rewards.verdict import Sample, Verdict
from rl.actors.judge_server import JudgeServer
from rl.config.schema import JudgeConfig, RewardConfig

REVIVALS = 5
"""How often the server may be lost in the same batch before its errors are the answer."""


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
        self._server: JudgeServer | None = None
        if config.kind == "statute":
            self.pool = WorkerPool(reward.processes, reward.verdict_timeout_s, reward.memory_mb)
            return
        assert config.model is not None
        url = config.base_url
        if url is None:
            self._server = JudgeServer(config, device)
            url = self._server.url
        settings = JudgeSettings(
            base_url=url,
            model=config.model,
            api_key=os.environ.get(config.api_key_env),
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
        found = self.service.score(samples, expand(weights))
        for _ in range(REVIVALS):
            if self._server is None or not self._server.revive():
                break
            found = self.service.score(samples, expand(weights))  # what was answered comes from the cache
        return found

    def metrics(self) -> dict[str, float]:
        """Requests, hit rate, errors, latency and cost since the start; empty for the statute judge."""
        return {} if self.service is None else self.service.metrics()

    def close(self) -> None:
        """Stop the server and the workers."""
        if self._server is not None:
            self._server.stop()
        if self.pool is not None:
            self.pool.close()
