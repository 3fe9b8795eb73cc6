"""The demonstrations of an SFT stage, and those held out to measure the loss on."""

import random
from array import array
from collections.abc import Sequence

import numpy as np

from curricula.errors import DataError
from curricula.prompts import Prompt
from curricula.tasks import make_prompts
from rl.config.stages import SFTStage
from rl.data.chosen import Chosen
from rl.data.held_out import HELD_OUT_SEED, rows_aside
from rl.data.prompt_files import Look, demonstrations_of


def demonstrations(stage: SFTStage, seed: int, look: Look | None = None) -> tuple[Chosen[Prompt], Chosen[Prompt]]:
    """Demonstrations of a stage, shuffled by the seed, and those held out: two choices of the same parts.

    Generated ones are held out from the dev split; of a file a share is held out, the same for every seed. ``look`` is
    at a file that is read for the first time.
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
    given: Sequence[Prompt] = demonstrations_of(stage.data, look) if stage.data else ()
    aside = rows_aside(len(given), stage.held_out)
    generated, parts = len(found), (found, given, held_out)
    rows = np.delete(np.arange(generated + len(given)), [generated + row for row in aside])
    order = array("q", rows.tobytes())
    random.Random(seed).shuffle(order)
    end = generated + len(given)
    return (
        Chosen(parts, np.asarray(order)),
        Chosen(parts, [*range(end, end + len(held_out)), *(generated + row for row in aside)]),
    )
