"""Rewards by name, and their weighted sum."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from rewards.presets import PRESETS
from rewards.verdict import Sample, Verdict

RewardFunction = Callable[..., Verdict]
"""Takes a sample and keyword options, returns a verdict."""

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
    """Register a reward function under a name; ``judged`` ones are asked of the judge actor."""

    def register(function: RewardFunction) -> RewardFunction:
        REWARDS[name] = function
        if judged:
            JUDGED.add(name)
        return function

    return register


def find(name: str) -> RewardFunction:
    """The reward function of a name, or of ``module:function``.

    Raises:
        ValueError: if there is none; the message names the nearest.
    """
    import rewards.library  # noqa: F401  (registers the rewards)

    if ":" in name:
        return _imported(name)
    if name not in REWARDS:
        known = sorted({*REWARDS, *PRESETS})
        near = get_close_matches(name, known, n=1, cutoff=0.0)
        raise ValueError(
            f"no reward is named {name}; did you mean {near[0]}? Rewards: {', '.join(known)}; or module:function"
        )
    return REWARDS[name]


def _imported(name: str) -> RewardFunction:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the reward {name} can't be imported: {error}; it is written module:function, and the module's folder "
            f"must be on PYTHONPATH or be where python was started"
        ) from None
    if not callable(found):
        raise ValueError(f"the reward {name} is a {type(found).__name__}, not a function")
    return found


def expand(weights: Weights) -> dict[str, Part]:
    """The parts of a sum, with published totals written out.

    Raises:
        ValueError: for an unknown name, an option that the function does not take, or a part named twice.
    """
    parts: dict[str, Part] = {}
    for name, given in weights.items():
        part = given if isinstance(given, Part) else Part(float(given))
        inner = PRESETS[name].parts if name in PRESETS else {name: 1.0}
        if name in PRESETS and (part.range or part.clip or part.options):
            raise ValueError(f"{name} is a published total and takes a weight alone")
        for inner_name, weight in inner.items():
            if inner_name in parts:
                raise ValueError(f"{inner_name} is weighed twice, once within {name}")
            _check_options(inner_name, part.options)
            parts[inner_name] = Part(part.weight * weight, part.range, part.clip, part.options)
    return parts


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    known = list(inspect.signature(find(name)).parameters)[1:]
    for key in options:
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"the reward {name} has no option {key}; {takes}")


def split(weights: Weights) -> tuple[dict[str, Part], dict[str, Part]]:
    """The parts decided by rules, and those decided by the judge.

    Raises:
        ValueError: as :func:`expand`.
    """
    parts = expand(weights)
    judged = {name: part for name, part in parts.items() if name in JUDGED}
    return {name: part for name, part in parts.items() if name not in judged}, judged


def score(name: str, sample: Sample, options: Mapping[str, Any] | None = None) -> Verdict:
    """The verdict of one reward. An exception, a non-finite score or anything but a verdict is an errored verdict."""
    function = find(name)
    try:
        verdict = function(sample, **(options or {}))
    except Exception as error:
        return Verdict.failed(f"reward {name} raised {type(error).__name__}: {error}")
    if not isinstance(verdict, Verdict):
        return Verdict.failed(f"reward {name} returned a {type(verdict).__name__}, not a Verdict")
    if verdict.score is not None and not (isinstance(verdict.score, int | float) and math.isfinite(verdict.score)):
        return Verdict.failed(f"reward {name} returned {verdict.score!r}, which is not a finite number")
    return verdict


def weighted(parts: Mapping[str, Part], verdicts: Mapping[str, Verdict]) -> Verdict:
    """The weighted sum of verdicts by name. ``parts`` holds each unweighted score; one errored part errs the whole."""
    scores: dict[str, float] = {}
    reasons = []
    for name, verdict in verdicts.items():
        if verdict.score is None:
            return verdict
        scores[name] = float(verdict.score)
        if verdict.reason:
            reasons.append(f"{name}: {verdict.reason}")
    return Verdict(sum(parts[name].of(scores[name]) for name in parts), parts=scores, reason="; ".join(reasons))


def compose(weights: Weights) -> Callable[[Sample], Verdict]:
    """The weighted sum of named rewards.

    Raises:
        ValueError: as :func:`expand`.
    """
    parts = expand(weights)

    def total(sample: Sample) -> Verdict:
        return weighted(parts, {name: score(name, sample, part.options) for name, part in parts.items()})

    return total
