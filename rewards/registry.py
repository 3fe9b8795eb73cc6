"""Rewards by name: the decorator that registers one, the table of those registered, and a part of a weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

RewardFunction = Callable[..., Any]
"""Takes a sample and keyword options, returns a verdict, or a number that is its score."""

REWARDS: dict[str, RewardFunction] = {}
JUDGED: set[str] = set()
"""Names of the rewards that a judge decides."""


@dataclass(frozen=True)
class Part:
    """One reward of a weighted sum."""

    weight: float = 1.0
    range: tuple[float, float] | None = None
    """Score that counts as 0 and score that counts as 1; empty leaves the score as it is."""
    clip: tuple[float, float] | None = None
    """Bounds of the score, after ``range``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the reward function."""

    def of(self, score: float) -> float:
        """The weighted score."""
        if self.range is not None:
            score = (score - self.range[0]) / (self.range[1] - self.range[0])
        if self.clip is not None:
            score = min(max(score, self.clip[0]), self.clip[1])
        return self.weight * score


Weights = Mapping[str, "float | Part"]


def reward(name: str, judged: bool = False) -> Callable[[RewardFunction], RewardFunction]:
    """Register a reward function under a name; a judge decides ``judged`` ones."""

    def register(function: RewardFunction) -> RewardFunction:
        REWARDS[name] = function
        if judged:
            JUDGED.add(name)
        return function

    return register
