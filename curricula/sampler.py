"""The endless stream of training prompts of a stage: weighted tasks, difficulty-aware, with exact resume."""

import json
import random
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from curricula.errors import DataError
from curricula.meta import PASS_RATE, is_share, pass_rate
from curricula.prompt_file import PromptFile
from curricula.prompts import Prompt
from curricula.tasks import find_task

RATE = 0.05
"""Weight of a new group in a task's running means, which thus cover about the last twenty groups."""
Pick = tuple[str, int]
"""(task, row of its pool; -1 for a generated prompt)."""


class Sampler:
    """Prompts by number: a task is drawn by weight, then a prompt of it.

    A task's prompts are generated, each from its number alone; or they come from a pool (a file), which is shuffled
    again in each epoch. With ``difficulty`` d above 0 a task's weight, and the chance that a pool's prompt is taken
    when its turn comes, are multiplied by ``1 - d + 4 d p (1 - p)``, where p is the share of right answers observed so
    far: a prompt that is always or never solved teaches a group-relative policy nothing. Before any is observed p is
    1/2, or for a pool's prompt what its ``meta`` records as ``pass_rate``.
    Every group is observed, whether or not it is trained on.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        pools: Mapping[str, Sequence[Prompt]],
        seed: int,
        stage: str = "",
        difficulty: float = 0.0,
    ) -> None:
        """``pools`` holds the prompts of those tasks of ``weights`` that are not generated.

        Raises:
            DataError: with ``difficulty``, if a prompt's recorded pass rate is none.
        """
        if difficulty:
            for pool in pools.values():
                require_pass_rates(pool)
        self.weights, self.pools, self.difficulty = dict(weights), pools, difficulty
        self.seed = f"{seed}/{stage}"
        self.observed: dict[str, dict[str, float]] = {}
        self.solved: dict[str, float] = {}
        """Share of right answers in the last group of each prompt of a pool, by uid."""
        self.positions = dict.fromkeys(pools, 0)
        self.picked: dict[int, Pick] = {}
        """The picks of prompts in flight, so that these stay the same when weights change."""
        self._order: dict[str, tuple[int, array[int]]] = {}

    def at(self, index: int) -> Prompt:
        """Prompt number ``index``; the same one until its group is observed."""
        rng = random.Random(f"{self.seed}/train/{index}")
        weights = self.current_weights()
        drawn = rng.choices(list(weights), list(weights.values()))[0]
        if index not in self.picked:
            self.picked[index] = drawn, self._next_row(drawn) if drawn in self.pools else -1
        task, row = self.picked[index]
        return find_task(task).generate(rng, "train") if row < 0 else self.pools[task][row]

    def current_weights(self) -> dict[str, float]:
        """Weight of each task now."""
        means = {task: self.observed.get(task, {}).get("accuracy", 0.5) for task in self.weights}
        adjusted = {task: weight * self._interest(means[task]) for task, weight in self.weights.items()}
        return adjusted if sum(adjusted.values()) > 0 else self.weights

    def _interest(self, solved: float) -> float:
        return 1 - self.difficulty + 4 * self.difficulty * solved * (1 - solved)

    def _next_row(self, task: str) -> int:
        """The next row of a pool; rows of little interest are skipped at random, for one epoch at most."""
        pool = self.pools[task]
        for _ in range(len(pool)):
            position = self.positions[task]
            row = self._row_at(task, position)
            self.positions[task] += 1
            interest = self._interest(self._solved(pool[row])) if self.difficulty else 1.0
            if interest >= 1:
                return row
            # A seeded generator is slow to make, so it is made only where chance decides.
            if interest > 0 and random.Random(f"{self.seed}/{task}/{position}/taken").random() < interest:
                return row
        self.positions[task] += 1
        return self._row_at(task, self.positions[task] - 1)

    def _solved(self, prompt: Prompt) -> float:
        observed = self.solved.get(prompt.uid)
        return float(pass_rate(prompt.meta)) if observed is None else observed

    def _row_at(self, task: str, position: int) -> int:
        epoch, place = divmod(position, len(self.pools[task]))
        if task not in self._order or self._order[task][0] != epoch:
            order = array("q", range(len(self.pools[task])))
            random.Random(f"{self.seed}/{task}/{epoch}").shuffle(order)
            self._order[task] = epoch, order
        return self._order[task][1][place]

    def observe(self, index: int, rewards: Sequence[float], solved: Sequence[float]) -> None:
        """Record the group of prompt ``index``.

        Args:
            index: number of the prompt.
            rewards: reward of each completion; empty where a verdict failed.
            solved: in [0, 1] for each completion, how far it was right.
        """
        task, row = self.picked.pop(index)
        if not rewards:
            return
        means = {"reward": sum(rewards) / len(rewards), "accuracy": sum(solved) / len(solved)}
        seen = self.observed.setdefault(task, {**means, "groups": 0.0})
        for name, mean in means.items():
            seen[name] += RATE * (mean - seen[name])
        seen["groups"] += 1
        if row >= 0:
            self.solved[self.pools[task][row].uid] = means["accuracy"]

    def metrics(self) -> dict[str, float]:
        """Running mean reward and accuracy of each task, and its share in the next prompts."""
        weights = self.current_weights()
        total = sum(weights.values())
        found: dict[str, float] = {}
        for task, seen in sorted(self.observed.items()):
            shown = f"task/{task.rsplit('/', 1)[-1]}"
            found[f"{shown}/reward"] = seen["reward"]
            found[f"{shown}/accuracy"] = seen["accuracy"]
            if self.difficulty:
                found[f"{shown}/share"] = weights[task] / total
        return found

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {
            "observed": {task: dict(seen) for task, seen in self.observed.items()},
            "solved": dict(self.solved),
            "positions": dict(self.positions),
            "picked": [[index, *pick] for index, pick in self.picked.items()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state.

        Raises:
            DataError: if its keys are not exactly those of :meth:`state_dict`, or it belongs to other tasks.
        """
        require_keys("sampler", state, self.state_dict())
        require_keys("sampler's pool", state["positions"], self.positions)
        unknown = sorted(set(state["observed"]) - set(self.weights))
        if unknown:
            raise DataError(f"the sampler state has the task {unknown[0]}, which is not in this stage")
        self.observed = {task: dict(seen) for task, seen in state["observed"].items()}
        self.solved, self.positions = dict(state["solved"]), dict(state["positions"])
        self.picked = {index: (task, row) for index, task, row in state["picked"]}


def require_pass_rates(prompts: Sequence[Prompt]) -> None:
    """Raises DataError if the pass rate that a prompt's ``meta`` records is not a number from 0 to 1."""
    rows = prompts.lines.bad_rates.tolist() if isinstance(prompts, PromptFile) else range(len(prompts))
    for prompt in map(prompts.__getitem__, rows):
        found = pass_rate(prompt.meta)
        if not is_share(found):
            raise DataError(
                f"{prompt.name}: meta.{PASS_RATE} is {json.dumps(found, ensure_ascii=False)[:40]}; with difficulty it "
                f"must be a number from 0 to 1, the share of right answers; correct it, or leave it out"
            )


def require_keys(what: str, state: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a state with missing or unknown keys."""
    if set(state) != set(expected):
        raise DataError(f"the {what} state has the keys {sorted(state)}, expected {sorted(expected)}")
