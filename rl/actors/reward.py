"""The reward actor: turns completions into verdicts."""

from collections.abc import Sequence

from rewards.registry import compose
from rewards.verdict import Sample, Verdict


class RewardActor:
    """Scores samples by a weighted sum of named rewards. An exception in a reward is an errored verdict, never a 0."""

    def ready(self) -> bool:
        """Whether the actor is up."""
        return True

    def score(self, samples: Sequence[Sample], weights: dict[str, float]) -> list[Verdict]:
        """One verdict a sample, in order."""
        judge = compose(weights)
        return [judge(sample) for sample in samples]
