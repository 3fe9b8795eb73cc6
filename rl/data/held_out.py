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


def trained_on(path: str, held_out: int) -> Sequence[Prompt]:
    """The prompts of a file without those that are held out.

    Raises:
        DataError: if the file can't be read.
    """
    prompts = prompts_of(path)
    if not held_out:
        return prompts
    return Chosen((prompts,), np.delete(np.arange(len(prompts)), rows_aside(len(prompts), held_out)))


def questions(source: str, held_out: int) -> list[Prompt]:
    """The prompts that are held out of a generated task (from its dev split) or of a file. Raises the same."""
    if not held_out:
        return []
    if not is_file(source):
        return make_prompts(source, "dev", held_out, HELD_OUT_SEED, fewer_ok=True)
    prompts = prompts_of(source)
    return [prompts[row] for row in rows_aside(len(prompts), held_out)]
