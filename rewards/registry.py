"""Rewards by name, and their weighted sum."""

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches

from rewards.verdict import Sample, Verdict

RewardFunction = Callable[[Sample], Verdict]

REWARDS: dict[str, RewardFunction] = {}
JUDGED: set[str] = set()
"""Names of the rewards that a judge decides."""


def reward(name: str, judged: bool = False) -> Callable[[RewardFunction], RewardFunction]:
    """Register a reward function under a name; ``judged`` ones are asked of the judge actor."""

    def register(function: RewardFunction) -> RewardFunction:
        REWARDS[name] = function
        if judged:
            JUDGED.add(name)
        return function

    return register


def find(name: str) -> RewardFunction:
    """The reward function of a name.

    Raises:
        ValueError: if there is none; the message names the nearest.
    """
    import rewards.library  # noqa: F401  (registers the rewards)

    if name not in REWARDS:
        near = get_close_matches(name, REWARDS, n=1, cutoff=0.0)
        raise ValueError(f"no reward is named {name}; did you mean {near[0]}? Rewards: {', '.join(sorted(REWARDS))}")
    return REWARDS[name]


def split(weights: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """The weights of the rewards decided by rules, and of those decided by the judge.

    Raises:
        ValueError: if a name is unknown.
    """
    for name in weights:
        find(name)
    judged = {name: weight for name, weight in weights.items() if name in JUDGED}
    return {name: weight for name, weight in weights.items() if name not in judged}, judged


def score(name: str, sample: Sample) -> Verdict:
    """The verdict of one reward. An exception or a non-finite score inside it becomes an errored verdict."""
    function = find(name)
    try:
        verdict = function(sample)
    except Exception as error:
        return Verdict.failed(f"reward {name} raised {type(error).__name__}: {error}")
    if verdict.score is not None and not math.isfinite(verdict.score):
        return Verdict.failed(f"reward {name} returned {verdict.score}")
    return verdict


def compose(weights: Mapping[str, float]) -> RewardFunction:
    """The weighted sum of named rewards. ``parts`` holds each unweighted score; one errored part errs the whole.

    Raises:
        ValueError: if a name is unknown.
    """
    for name in weights:
        find(name)

    def total(sample: Sample) -> Verdict:
        parts: dict[str, float] = {}
        reasons = []
        for name in weights:
            verdict = score(name, sample)
            if verdict.score is None:
                return verdict
            parts[name] = verdict.score
            if verdict.reason:
                reasons.append(f"{name}: {verdict.reason}")
        return Verdict(sum(weights[name] * parts[name] for name in weights), parts=parts, reason="; ".join(reasons))

    return total
