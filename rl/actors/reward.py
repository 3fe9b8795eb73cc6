"""The reward actor: turns completions into verdicts."""

from collections.abc import Sequence

from curricula.statutes import Setting, use_law
from rewards.pool import WorkerPool
from rewards.registry import Weights
from rewards.verdict import Sample, Verdict
from rl.config.schema import RewardConfig


class RewardActor:
    """Scores samples by a weighted sum of named rewards, in worker processes that are killed when they hang.

    An exception, a hang or a crash in a reward is an errored verdict, never a 0.
    """

    def __init__(self, config: RewardConfig, law: Setting | None = None) -> None:
        """``law`` is the law that the rewards read; None keeps the setting of this process."""
        if law is not None:
            use_law(law.as_of, law.folder)
        self.pool = WorkerPool(config.processes, config.verdict_timeout_s, config.memory_mb, config.network)

    def check(self, sums: Sequence[Weights]) -> None:
        """Set up every weighted sum in every worker, and try the rewards given as module:function.

        Raises:
            ValueError: if one can't be imported or fails on a small sample.
        """
        for weights in sums:
            self.pool.check(weights)

    def close(self) -> list[str]:
        """Stop the workers; returns :meth:`losses`."""
        found = self.losses()
        self.pool.close()
        return found

    def losses(self) -> list[str]:
        """How workers were lost since this was asked last; each was replaced."""
        return [f"worker {why}" for why in self.pool.losses()]

    def score(
        self, samples: Sequence[Sample], weights: Weights, patience_s: float | None = None
    ) -> Sequence[Verdict | None]:
        """One verdict per sample, in order; None for samples that were not started within ``patience_s`` seconds."""
        return self.pool.score_some(samples, weights, patience_s)
