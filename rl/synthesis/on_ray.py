"""Steps that compute, on Ray Data: where the rules over the documents outgrow one process.

Asking stays in the process of the run. It waits for a server or for engines on Ray and computes nothing, and there it
has one rate limit and one journal, so that a run resumes with either runner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from curricula.statutes import Setting, use_law
from rl.config.synthesis import RecipeConfig
from rl.config.synthesis import Step as Options
from rl.synthesis.engine import decided_here, decision
from rl.synthesis.recipe import STEPS
from rl.synthesis.records import Outcome, Record
from rl.synthesis.step import Context, LookingStep, Step

BATCH = 64
"""Records that a worker gets at once."""
ROUNDS = 8
"""Batches for each CPU that Ray Data gets at once: this process holds no more records than these."""
_OPTIONS: TypeAdapter[Any] = TypeAdapter(Options)
Batch = dict[str, "np.ndarray[Any, np.dtype[np.object_]]"]


class OnRay:
    """Decides about records in workers of the Ray that this process is connected to."""

    def __init__(self, recipe: RecipeConfig, context: Context, law: Setting) -> None:
        """``law`` is what the workers read."""
        self.options: dict[str, str] = {options.step: options.model_dump_json() for options in recipe.steps}
        self.context, self.law = context, law

    def __call__(self, step: Step, records: Iterable[Record]) -> Iterator[Outcome]:
        """What becomes of the records, in their order."""
        if getattr(step, "in_order", False) or isinstance(step, LookingStep):
            return decided_here(step, records)
        return self._spread(step, iter(records))

    def _spread(self, step: Step, records: Iterator[Record]) -> Iterator[Outcome]:
        import ray

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        arguments = {"options": self.options[step.name], "context": self.context, "law": self.law}
        size = BATCH * ROUNDS * max(1, int(ray.cluster_resources().get("CPU", 1)))
        while window := list(islice(records, size)):
            done = ray.data.from_items(window).map_batches(_decide, batch_size=BATCH, fn_kwargs=arguments)
            found = {row["item"].id: row["item"] for row in done.iter_rows()}
            yield from (found[record.id] for record in window)


def _decide(batch: Batch, options: str, context: Context, law: Setting) -> Batch:
    step = _step(options, context, law)
    found = np.empty(len(batch["item"]), dtype=object)
    for place, record in enumerate(batch["item"]):
        found[place] = decision(step, record)
    return {"item": found}


@lru_cache(maxsize=8)
def _step(options: str, context: Context, law: Setting) -> Step:
    """A step of this worker. It may hold an index, and the worker gets many batches."""
    use_law(law.as_of, law.folder)
    chosen = _OPTIONS.validate_json(options)
    step: Step = STEPS[chosen.step](chosen, context)
    return step
