"""What a GRPO curriculum is worth where demonstrations are scarce, against three controls on the same start.

The controls replace the GRPO stages: more SFT on the same demonstrations, for as long as they took; rejection sampling
with as many sampled completions and as many updates; and one GRPO stage of all tasks at once with as many steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tools.studies.gain import equal_steps, with_more_sft
from tools.studies.outcomes import Outcome, spread, table
from tools.studies.record import write
from tools.studies.runs import Stages, composed, console, kinds, run_variant, tested

ROUNDS = 4
"""Rounds of the control by rejection sampling; each trains as many steps as it samples."""
WHOLE = "whole"


def _instead(stages: Stages, stage: dict[str, Any]) -> Stages:
    """The curriculum with one stage in place of its GRPO stages, and its last evaluation."""
    return [*stages[: stages.index(kinds(stages, "grpo")[0])], stage, stages[-1]]


def all_at_once(stages: Stages) -> Stages:
    """One GRPO stage of all steps, in which each task has the share that it has over all stages."""
    found = kinds(stages, "grpo")
    steps = sum(stage["steps"] for stage in found)
    shares: dict[str, float] = {}
    for stage in found:
        for task, weight in stage["tasks"].items():
            share = weight / sum(stage["tasks"].values()) * stage["steps"] / steps
            shares[task] = shares.get(task, 0.0) + share
    return _instead(stages, {**found[-1], "name": "at_once", "steps": steps, "tasks": shares})


def by_rejection(stages: Stages) -> Stages:
    """Rejection sampling of as many completions and updates, with the optimizer of the SFT stage."""
    at_once = kinds(all_at_once(stages), "grpo")[0]
    shared = ("prompts_per_step", "samples_per_prompt", "tasks", "reward", "max_prompt_tokens", "sampling")
    steps = math.ceil(at_once["steps"] / ROUNDS)
    stage = {name: at_once[name] for name in shared if name in at_once} | {
        "name": "rejection", "kind": "rejection", "rounds": ROUNDS, "sampling_steps": steps, "training_steps": steps,
        "keep": {"reward": "accuracy", "at_least": 1.0}, "optim": kinds(stages, "sft")[-1]["optim"],
    }  # fmt: skip
    return _instead(stages, stage)


def study(curriculum: str, overrides: Sequence[str], seeds: list[int], out: Path, command: str) -> None:
    """Run what has not been run yet, then show and write the outcome of ``command``."""
    values = composed(curriculum, overrides)
    stages: Stages = values["curriculum"]["stages"]
    found: list[Outcome] = []
    for seed in seeds:
        whole = run_variant(values, out / f"{WHOLE}-seed{seed}", seed, None)
        more = partial(with_more_sft, steps=equal_steps(whole, stages))
        controls: list[tuple[str, Callable[[Stages], Stages]]] = [
            ("more_sft", more), ("rejection", by_rejection), ("at_once", all_at_once)
        ]  # fmt: skip
        folders = [(WHOLE, whole)]
        folders += [(name, run_variant(values, out / f"{name}-seed{seed}", seed, change)) for name, change in controls]
        found += [Outcome(name, seed, *tested(folder)) for name, folder in folders]
    console.print(table(found))
    for sentence in ahead(found):
        console.print(sentence)
    write(out / "scarce", command, found, whole)


def ahead(found: Sequence[Outcome]) -> list[str]:
    """How far the whole curriculum ends above each control: mean over seeds of the difference with the same seed."""
    ends = {(outcome.variant, outcome.seed): 100 * outcome.after.average for outcome in found}
    sentences = []
    for variant in dict.fromkeys(outcome.variant for outcome in found if outcome.variant != WHOLE):
        differences = [end - ends[variant, seed] for (name, seed), end in ends.items() if name == WHOLE]
        sentences.append(f"whole ends {spread(differences)} points from {variant} over {len(differences)} seeds")
    return sentences
