"""How long a run still takes, over all stages: by the steps that this process has made, and the tokens of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ahead:
    """A stage that is not done."""

    name: str
    kind: str
    steps: int
    tokens: int
    """Most tokens that a step samples and trains on; 0 where that is not known before, so that it is not counted."""


class Eta:
    """Notes how long steps take. A token takes as long as those of earlier steps of the same kind of stage."""

    def __init__(self, stages: Sequence[Ahead]) -> None:
        self.stages = list(stages)
        self._spent: dict[str, tuple[float, int]] = {}
        """(seconds, tokens) by kind."""

    def note(self, stage: str, seconds: float) -> None:
        """A step of a stage is done."""
        found = next((one for one in self.stages if one.name == stage), None)
        if found is not None and found.tokens:
            before, tokens = self._spent.get(found.kind, (0.0, 0))
            self._spent[found.kind] = before + seconds, tokens + found.tokens

    def left(self, stage: str, done: int) -> tuple[float, list[str]] | None:
        """What is left when ``done`` steps of a stage are made; None before the first step.

        Returns:
            (seconds to the end of the run; kinds of stages that are not in them, because none of their steps has been
            timed: a token that is sampled takes many times as long as one that is read).
        """
        names = [one.name for one in self.stages]
        if stage not in names or not self._spent:
            return None
        here, *later = self.stages[names.index(stage) :]
        rates = {kind: spent / made for kind, (spent, made) in self._spent.items()}
        ahead = [(here, max(0, here.steps - done)), *((one, one.steps) for one in later)]
        seconds = sum(steps * one.tokens * rates.get(one.kind, 0.0) for one, steps in ahead)
        return seconds, list(dict.fromkeys(one.kind for one, _ in ahead if one.tokens and one.kind not in rates))


def about(seconds: float) -> str:
    """A time in words, exact enough for an estimate."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.{int(seconds < 600)}f} min"
    return f"{seconds / 3600:.1f} h"
