"""Verdicts without a run: workers for the rules, and a served judge where one is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from rewards.judge.client import JudgeSettings
from rewards.judge.service import JudgeService
from rewards.pool import WorkerPool
from rewards.registry import Weights
from rewards.total import expand, score_apart
from rewards.verdict import Sample, Verdict


@contextmanager
def scorer(
    weights: Weights,
    processes: int,
    timeout_s: float,
    memory_mb: int,
    network: bool,
    judge: JudgeSettings | None,
    judge_cache: Path | None,
) -> Iterator[Callable[[Sequence[Sample]], Sequence[Verdict]]]:
    """Within a ``with`` block, a function from samples to one verdict each, in order (:func:`rewards.score`).

    Raises:
        ValueError: as :func:`rewards.total.expand`, and for less than one process.
    """
    expand(weights)
    if processes < 1:
        raise ValueError(f"processes={processes} must be at least 1")
    with ExitStack() as stack:
        pool = stack.enter_context(closing(WorkerPool(processes, timeout_s, memory_mb, network)))
        if judge is None:
            yield partial(pool.score, weights=weights)
        else:
            served = stack.enter_context(closing(JudgeService(judge, judge_cache)))
            yield partial(score_apart, weights=weights, rules=pool.score, judge=served.score)
