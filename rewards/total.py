"""Weighted sums of named rewards: published totals written out, each part checked, and the verdict of the whole."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import rewards.library  # noqa: F401  (registers the rewards)
from curricula.own import imported
from rewards.published import PUBLISHED
from rewards.registry import JUDGED, REWARDS, Part, RewardFunction, Weights
from rewards.verdict import Sample, Verdict, as_number, shortened

PLAIN = "rewards are plain functions: write def, use asyncio.run for what must be awaited, and return a Verdict"
_NO_PLAIN_FUNCTION = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)


def find(name: str) -> RewardFunction:
    """The reward function of a name, or of ``module:function``.

    Raises:
        ValueError: if there is none; the message names the nearest.
    """
    if ":" in name:
        return imported(name, "reward")
    if name not in REWARDS:
        known = sorted({*REWARDS, *PUBLISHED})
        near = get_close_matches(name, known, n=1, cutoff=0.0)
        raise ValueError(
            f"no reward is named {name}; did you mean {near[0]}? Rewards: {', '.join(known)}; or module:function"
        )
    return REWARDS[name]


def expand(weights: Weights) -> dict[str, Part]:
    """The parts of a sum, with published totals written out.

    Raises:
        ValueError: for an unknown name, a part named twice, an option that the function does not take, or a function
            that can't be called with a sample and the options.
    """
    parts: dict[str, Part] = {}
    for name, given in weights.items():
        part = given if isinstance(given, Part) else Part(float(given))
        inner = PUBLISHED[name].parts if name in PUBLISHED else {name: 1.0}
        if name in PUBLISHED and (part.range or part.clip or part.options):
            raise ValueError(f"{name} is a published total and takes a weight alone")
        for inner_name, weight in inner.items():
            if inner_name in parts:
                raise ValueError(f"{inner_name} is weighed twice, once within {name}")
            _check_call(inner_name, part.options)
            parts[inner_name] = Part(part.weight * weight, part.range, part.clip, part.options)
    return parts


def _check_call(name: str, options: Mapping[str, Any]) -> None:
    function = find(name)
    if inspect.isclass(function):
        raise ValueError(f"the reward {name} is a class; name a function, or an instance that can be called")
    called = function if inspect.isroutine(function) else type(function).__call__
    if any(kind(called) for kind in _NO_PLAIN_FUNCTION) or any(kind(function) for kind in _NO_PLAIN_FUNCTION):
        raise ValueError(f"the reward {name} is an async function or a generator; {PLAIN}")
    try:
        signature = inspect.signature(function)
    except ValueError:  # a few builtins have none
        return
    further = list(signature.parameters.values())[1:]
    known = [one.name for one in further if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    takes_any = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    for key in options:
        if key not in known and not takes_any:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"the reward {name} has no option {key}; {takes}")
    try:
        signature.bind(None, **options)
    except TypeError as error:
        raise ValueError(
            f"the reward {name} can't be called with a sample alone ({error}); prompt, completion and reference are "
            f"fields of the sample, and a further parameter needs a default or a value under options"
        ) from None


def split(weights: Weights) -> tuple[dict[str, Part], dict[str, Part]]:
    """The parts decided by rules, and those decided by the judge.

    Raises:
        ValueError: as :func:`expand`.
    """
    parts = expand(weights)
    judged = {name: part for name, part in parts.items() if name in JUDGED}
    return {name: part for name, part in parts.items() if name not in judged}, judged


Ask = Callable[[Sequence[Sample], Mapping[str, Part]], Sequence[Verdict]]
"""(samples, parts) -> one verdict a sample, in order."""


def score_apart(samples: Sequence[Sample], weights: Weights, rules: Ask, judge: Ask) -> Sequence[Verdict]:
    """Verdicts of a sum whose judged parts ``judge`` decides and all others ``rules``, both at the same time.

    Raises:
        ValueError: as :func:`expand`.
    """
    by_rules, judged = split(weights)
    if not judged:
        return rules(samples, by_rules)
    if not by_rules:
        return judge(samples, judged)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(judge, samples, judged)
        found = rules(samples, by_rules)
        return [a + b for a, b in zip(found, other.result(), strict=True)]


def score(name: str, sample: Sample, options: Mapping[str, Any] | None = None) -> Verdict:
    """The verdict of one reward, its score as a float. An exception, a score that is not one finite number, or anything
    else than a verdict or a number is an errored verdict. A reason or error of more than 4,000 characters is cut."""
    found = _score(name, sample, options)
    if found.error is not None:
        return Verdict.failed(shortened(found.error))
    reason = shortened(found.reason)
    return found if reason == found.reason else replace(found, reason=reason)


def _score(name: str, sample: Sample, options: Mapping[str, Any] | None) -> Verdict:
    function = find(name)
    try:
        found = function(sample, **(options or {}))
    except (Exception, SystemExit) as error:
        return Verdict.failed(f"reward {name} raised {type(error).__name__}: {error}")
    if inspect.iscoroutine(found):
        found.close()
    if inspect.isawaitable(found):
        return Verdict.failed(f"reward {name} returned something to be awaited; {PLAIN}")
    given = found.score if isinstance(found, Verdict) else found
    number = as_number(given)
    if isinstance(found, Verdict) and found.error is not None:
        return found
    if number is None and not isinstance(found, Verdict):
        what = type(found).__name__
        return Verdict.failed(f"reward {name} returned a {what}, not a Verdict; return Verdict(score), or one number")
    if number is None or not math.isfinite(number):
        return Verdict.failed(
            f"reward {name} returned {repr(given)[:80]}, which is not a finite number; where there is no score, return "
            f"Verdict.failed with the reason"
        )
    if not isinstance(found, Verdict):
        return Verdict(number)
    return found if type(found.score) is float else replace(found, score=number)


def weighted(parts: Mapping[str, Part], verdicts: Mapping[str, Verdict]) -> Verdict:
    """The weighted sum of verdicts by name; its ``parts`` are the unweighted scores. An errored part makes it an
    error."""
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
