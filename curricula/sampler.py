"""The endless stream of training prompts of a stage, with exact resume."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from curricula.errors import DataError
from curricula.prompts import Prompt
from curricula.tasks import prompt_at


class Sampler:
    """Prompts by number: number ``i`` depends on source, seed and ``i`` alone, so nothing of them need be saved.

    A source is either weights of generated tasks, or a list of prompts that is gone through in an order shuffled anew
    each epoch. Every group is observed, whether or not it is trained on.
    """

    def __init__(self, source: Mapping[str, float] | Sequence[Prompt], seed: int, stage: str = "") -> None:
        self.source = source
        self.seed = f"{seed}/{stage}"
        self.observed: dict[str, dict[str, float]] = {}

    def at(self, index: int) -> Prompt:
        """Prompt number ``index``."""
        if isinstance(self.source, Mapping):
            return prompt_at(self.source, "train", self.seed, index)
        epoch, place = divmod(index, len(self.source))
        order = list(range(len(self.source)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return self.source[order[place]]

    def observe(self, task: str, rewards: Sequence[float]) -> None:
        """Take note of a group's rewards (an exponential mean of the last twenty groups or so of each task)."""
        if not rewards:
            return
        mean = sum(rewards) / len(rewards)
        seen = self.observed.setdefault(task, {"reward": mean, "groups": 0.0})
        seen["reward"] += 0.05 * (mean - seen["reward"])
        seen["groups"] += 1

    def metrics(self) -> dict[str, float]:
        """Running mean reward of each task."""
        return {f"task/{task}/reward": seen["reward"] for task, seen in sorted(self.observed.items())}

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"observed": {task: dict(seen) for task, seen in self.observed.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state.

        Raises:
            DataError: if its keys are not exactly those of :meth:`state_dict`.
        """
        require_keys("sampler", state, self.state_dict())
        self.observed = {task: dict(seen) for task, seen in state["observed"].items()}


def require_keys(what: str, state: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a state with missing or unknown keys."""
    if set(state) != set(expected):
        raise DataError(f"the {what} state has the keys {sorted(state)}, expected {sorted(expected)}")
