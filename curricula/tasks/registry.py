"""The tasks by name, and prompts drawn from them."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache

from curricula.errors import DataError
from curricula.own import imported
from curricula.prompts import Prompt
from curricula.splits import Split

Generator = Callable[[random.Random, Split], Prompt]
"""Draws one prompt of a split; raises nothing, and returns equal prompts for equal random states."""


@dataclass(frozen=True)
class Task:
    """A kind of question with ground truth."""

    name: str
    generate: Generator
    description: str
    """First line of the generator's docstring."""


TASKS: dict[str, Task] = {}


def task(name: str) -> Callable[[Generator], Generator]:
    """Register a generator under a name."""

    def register(generate: Generator) -> Generator:
        TASKS[name] = Task(name, generate, (generate.__doc__ or "").strip().split("\n")[0])
        return generate

    return register


def find_task(name: str) -> Task:
    """The task of a name, or of ``module:function`` with the function as its generator.

    Raises:
        DataError: if there is none; the message names the nearest. If the function is no generator.
    """
    if ":" in name:
        return _own_task(name)
    if name not in TASKS:
        near = get_close_matches(name, TASKS, n=1, cutoff=0.0)
        raise DataError(
            f"no task is named {name}; did you mean {near[0]}? Tasks: {', '.join(sorted(TASKS))}; or module:function"
        )
    return TASKS[name]


@cache
def _own_task(name: str) -> Task:
    """A user's generator, tried once. Its prompts belong to a task of the name that the configuration gives it."""
    try:
        function = imported(name, "task")
    except ValueError as error:
        raise DataError(str(error)) from None

    def generate(rng: random.Random, split: Split) -> Prompt:
        try:
            prompt = function(rng, split)
        except Exception as error:
            raise DataError(f"the task {name} raised {type(error).__name__}: {error}") from error
        if not isinstance(prompt, Prompt):
            raise DataError(f"the task {name} returned a {type(prompt).__name__}; return curricula.prompts.ask(…)")
        return replace(prompt, task=name)

    if generate(random.Random(0), "train") != generate(random.Random(0), "train"):
        raise DataError(
            f"the task {name} draws another question from an equal random state, so that a run could not be repeated; "
            f"take all that is random from its first argument"
        )
    return Task(name, generate, (function.__doc__ or "").strip().split("\n")[0])


def make_prompts(name: str, split: Split, n: int, seed: int, fewer_ok: bool = False) -> list[Prompt]:
    """``n`` prompts of a task and split with different questions, the same for the same arguments.

    Raises:
        DataError: if the task has fewer different questions in that split, unless ``fewer_ok``.
    """
    generate = find_task(name).generate
    rng = random.Random(f"{name}/{split}/{seed}")
    found: dict[str, Prompt] = {}
    for _ in range(50 * n + 200):
        prompt = generate(rng, split)
        found.setdefault(prompt.messages[-1]["content"], prompt)
        if len(found) == n:
            return list(found.values())
    if fewer_ok and found:
        return list(found.values())
    raise DataError(f"task {name} has about {len(found)} questions in split {split}; {n} were asked for")
