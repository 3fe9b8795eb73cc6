"""The demonstrations of an SFT stage, and those held out to measure the loss on."""

import random

from curricula.errors import DataError
from curricula.prompts import Prompt
from curricula.records import read_demonstrations
from curricula.tasks import make_prompts
from rl.config.stages import SFTStage

HELD_OUT_SEED = 20_240_202
"""Held-out demonstrations are the same for every seed of a run."""


def demonstrations(stage: SFTStage, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """Demonstrations of a stage, shuffled by the seed, and those held out.

    Generated ones are held out from the dev split; of a file a share is held out, the same for every seed.
    """
    found = [p for task, n in stage.demonstrations.items() for p in make_prompts(task, "train", n, seed)]
    held_out = [
        p for task in stage.demonstrations if stage.held_out
        for p in make_prompts(task, "dev", stage.held_out, HELD_OUT_SEED, fewer_ok=True)
    ]  # fmt: skip
    if bare := next((prompt for prompt in (*found, *held_out) if prompt.demonstration is None), None):
        raise DataError(
            f"the task {bare.task} gives no demonstration, which stage {stage.name} needs; give ask(…) a think"
        )
    if stage.data:
        given = read_demonstrations(stage.data)
        aside = set(random.Random(HELD_OUT_SEED).sample(range(len(given)), min(stage.held_out, len(given) // 2)))
        held_out += [prompt for place, prompt in enumerate(given) if place in aside]
        found += [prompt for place, prompt in enumerate(given) if place not in aside]
    random.Random(seed).shuffle(found)
    return found, held_out
