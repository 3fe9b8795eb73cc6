"""The workloads: frozen rollouts for the trainer, prompts and lengths for whole steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

VOCABULARY = 3000
"""Token ids are drawn below this; it is below the end of the nano model's vocabulary."""


@dataclass(frozen=True)
class Workload:
    """One workload."""

    name: str
    prompt: int
    """Tokens of a prompt."""
    longest: int
    """Tokens of the longest completion."""
    ragged: bool
    """Whether completions differ in length."""
    target: float
    """Trainer replay: target as a multiple of the peer's speed."""
    target_end_to_end: float
    """Whole steps: target as a multiple of the peer's completion tokens per CPU-second."""
    groups: int = 4
    samples: int = 8


CASES = (
    Workload("equal", prompt=32, longest=64, ragged=False, target=1.1, target_end_to_end=1.15),
    Workload("ragged", prompt=32, longest=256, ragged=True, target=3.5, target_end_to_end=2.5),
    Workload("prompt-heavy", prompt=256, longest=64, ragged=False, target=2.5, target_end_to_end=2.0),
)


def frozen(case: Workload, seed: int = 0) -> dict[str, Any]:
    """Rollouts of a case: token ids and one reward for each completion, as JSON values.

    Ragged lengths are log-normal between 4 and ``longest``. Rewards are large, so that the small numbers that
    implementations add to a standard deviation (1e-4 in TRL, 1e-6 here) do not show in the gradient.
    """
    rng = np.random.default_rng(seed)
    rows = case.groups * case.samples
    lengths = np.full(rows, case.longest)
    if case.ragged:
        lengths = np.clip(rng.lognormal(np.log(32), 1.0, size=rows), 4, case.longest).astype(int)
        lengths[rng.integers(rows)] = case.longest
    ids = rng.integers(10, VOCABULARY, size=(case.groups, case.prompt)).tolist()
    return {
        "prompt_ids": [prompt for prompt in ids for _ in range(case.samples)],
        "completion_ids": [rng.integers(10, VOCABULARY, size=int(n)).tolist() for n in lengths],
        "rewards": (1000 * rng.random(rows)).tolist(),
        "samples": case.samples,
        "longest": case.longest,
    }
