"""Whether reinforcement learning improves on supervised fine-tuning, and whether longer fine-tuning does the same.

Three variants of a curriculum over seeds: the whole; without mid-training; and with more supervised fine-tuning, on the
same demonstrations, in place of the GRPO stages and for as long as they took with the same seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tools.studies.outcomes import Outcome, summary, table
from tools.studies.record import write
from tools.studies.runs import Stages, composed, console, kinds, lines, run_variant, tested

MORE_SFT = "more_sft"
"""Name of the stage that replaces the GRPO stages in the control run."""


def without_mid_training(stages: Stages) -> Stages:
    """The curriculum without mid-training and what it needs."""
    return [stage for stage in stages if stage["kind"] not in ("mid_training", "perplexity")]


def with_more_sft(stages: Stages, steps: int) -> Stages:
    """The curriculum with its SFT stage again, for ``steps`` steps, in place of the GRPO stages; the last evaluation
    stays."""
    place = stages.index(kinds(stages, "grpo")[0])
    return [*stages[:place], {**kinds(stages, "sft")[-1], "name": MORE_SFT, "steps": steps}, stages[-1]]


def equal_steps(folder: Path, stages: Stages) -> int:
    """Number of SFT steps that take as long as the GRPO stages of a run took, by the run's own times."""
    found = lines(folder)
    rl = {stage["name"] for stage in kinds(stages, "grpo")}
    sft = {stage["name"] for stage in kinds(stages, "sft")}
    seconds = sum(line["time"]["step"] for line in found if line["stage"] in rl)
    return round(seconds / statistics.median(line["time"]["step"] for line in found if line["stage"] in sft))


def study(
    curriculum: str, overrides: Sequence[str], seeds: list[int], controls: list[int], out: Path, command: str
) -> None:
    """Run what has not been run yet, then show and write the outcome of ``command``."""
    values = composed(curriculum, overrides)
    stages: Stages = values["curriculum"]["stages"]
    found: list[Outcome] = []
    for seed in dict.fromkeys([*seeds, *controls]):
        whole = run_variant(values, out / f"whole-seed{seed}", seed, None)
        found.append(Outcome("whole", seed, *tested(whole)))
        if seed not in controls:
            continue
        folder = run_variant(values, out / f"without_mid_training-seed{seed}", seed, without_mid_training)
        found.append(Outcome("without mid-training", seed, *tested(folder)))
        more_sft = partial(with_more_sft, steps=equal_steps(whole, stages))
        folder = run_variant(values, out / f"{MORE_SFT}-seed{seed}", seed, more_sft)
        found.append(Outcome("SFT for as long", seed, *tested(folder)))
    console.print(table(found))
    console.print(summary(found))
    write(out / "gain", command, found, whole)
