"""The reward and judge actors: turn completions into verdicts."""

from collections.abc import Sequence

from rewards.registry import compose
from rewards.verdict import Sample, Verdict
from rl.config.schema import JudgeConfig


class RewardActor:
    """Scores samples by a weighted sum of named rewards. An exception in a reward is an errored verdict, never a 0."""

    def ready(self) -> bool:
        """Whether the actor is up."""
        return True

    def score(self, samples: Sequence[Sample], weights: dict[str, float]) -> list[Verdict]:
        """One verdict a sample, in order."""
        judge = compose(weights)
        return [judge(sample) for sample in samples]


class JudgeActor(RewardActor):
    """Scores by the rewards that a judge decides, in a process of its own, since a judge may be slow or far away.

    The ``statute`` judge is a set of rules over the statute database and needs nothing to start.
    """

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config
