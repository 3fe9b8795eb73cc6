"""Rewards: verdicts on completions. Imports neither torch nor ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rewards.judge.client import JudgeSettings
    from rewards.registry import Weights
    from rewards.verdict import Sample, Verdict


def score(
    weights: str | Weights,
    samples: Sequence[Sample],
    *,
    processes: int = 1,
    timeout_s: float = 10.0,
    memory_mb: int = 2048,
    network: bool = False,
    judge: JudgeSettings | None = None,
    judge_cache: Path | None = None,
) -> list[Verdict]:
    """Verdicts on samples, as ``python -m rewards score`` and a run give them: in confined worker processes.

    The law that counts is today's, or that of the last run or evaluation of this process
    (:func:`curricula.statutes.use_law` sets another day).

    Args:
        weights: the name of a reward or of a published total, ``module:function``, or weights by such names, each a
            number or a :class:`rewards.registry.Part`.
        samples: what is scored (:class:`rewards.verdict.Sample`).
        processes: worker processes.
        timeout_s: longest time for one verdict (seconds).
        memory_mb: address space of a worker (MB).
        network: whether rewards may open connections.
        judge: the server that decides the judged rewards; without one rules decide.
        judge_cache: SQLite file of the judge's answers.

    Returns:
        One verdict a sample, in their order: a score, with ``parts`` by name, or an error.

    Raises:
        ValueError: for an unknown reward (with the nearest), an option that it does not take, or a number of processes
            below 1.
    """
    from rewards.scoring import scorer

    named = {weights: 1.0} if isinstance(weights, str) else weights
    with scorer(named, processes, timeout_s, memory_mb, network, judge, judge_cache) as verdicts:
        return list(verdicts(samples))
