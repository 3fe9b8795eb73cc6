"""Prompts that are kept out of training to measure the policy on them."""

import random
from collections.abc import Sequence

import numpy as np

from curricula.prompts import Prompt
from curricula.records import is_file
from curricula.tasks import make_prompts
from rl.data.chosen import Chosen
from rl.data.prompt_files import prompts_of

HELD_OUT_SEED = 20_240_202
"""What is held out is the same for every seed of a run."""


def rows_aside(total: int, held_out: int) -> list[int]:
    """Rows of a file that are held out, half of them at most."""
    return sorted(random.Random(HELD_OUT_SEED).sample(range(total), min(held_out, total // 2)))


def divided(source: str, held_out: int) -> tuple[Sequence[Prompt] | None, list[Prompt]]:
    """(prompts of a file to train on, None for a generated task; prompts of the source that are held out).

    Raises:
        DataError: if the file can't be read.
    """
    if not is_file(source):
        return None, make_prompts(source, "dev", held_out, HELD_OUT_SEED, fewer_ok=True) if held_out else []
    prompts = prompts_of(source)
    if not held_out:
        return prompts, []
    aside = rows_aside(len(prompts), held_out)
    kept = np.delete(np.arange(len(prompts)), aside)
    return Chosen((prompts,), kept), [prompts[row] for row in aside]
