"""Gates of a stage: conditions on its metrics, and for how many steps in a row they have held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from curricula.errors import DataError


@dataclass(frozen=True)
class Condition:
    """A metric is at least ``above`` and at most ``below``, for ``steps`` steps in a row."""

    metric: str
    above: float | None = None
    below: float | None = None
    steps: int = 1

    def holds(self, value: float) -> bool:
        """Whether a value satisfies it; a value that is not a number does not."""
        return (self.above is None or value >= self.above) and (self.below is None or value <= self.below)

    def __str__(self) -> str:
        bounds = ([f"≥ {self.above:g}"] if self.above is not None else []) + (
            [f"≤ {self.below:g}"] if self.below is not None else []
        )
        return f"{self.metric} {' and '.join(bounds)}" + (f" for {self.steps} steps" if self.steps > 1 else "")


@dataclass(frozen=True)
class GateDecision:
    """A gate that opened."""

    kind: Literal["leave", "fall_back"]
    why: str
    steps: int
    """For how many steps the condition has held; the weights from before them are those to fall back to."""


class GateWatch:
    """Watches every step of a stage: all of ``leave`` must hold to leave it, any of ``fall_back`` to fall back.

    A step without the metric neither extends nor ends the run of steps in which its condition held.
    """

    def __init__(self, leave: Sequence[Condition], fall_back: Sequence[Condition]) -> None:
        self.leave, self.fall_back = tuple(leave), tuple(fall_back)
        self.held = {str(condition): 0 for condition in (*self.leave, *self.fall_back)}

    def observe(self, metrics: Mapping[str, float]) -> GateDecision | None:
        """Record a step's metrics. Returns the gate that opens now (fall back comes before leave), or None."""
        for condition in {str(c): c for c in (*self.leave, *self.fall_back)}.values():
            value = metrics.get(condition.metric)
            if value is not None:
                name = str(condition)
                self.held[name] = self.held[name] + 1 if condition.holds(value) else 0
        for condition in self.fall_back:
            if self._open(condition):
                return GateDecision("fall_back", str(condition), self.held[str(condition)])
        if self.leave and all(self._open(condition) for condition in self.leave):
            return GateDecision("leave", "; ".join(str(condition) for condition in self.leave), 0)
        return None

    def _open(self, condition: Condition) -> bool:
        return self.held[str(condition)] >= condition.steps

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"held": dict(self.held)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state.

        Raises:
            DataError: if it belongs to other gates.
        """
        if set(state) != {"held"} or set(state["held"]) != set(self.held):
            raise DataError(
                f"the state of the gates is for {sorted(state.get('held', state))}, not for {sorted(self.held)}"
            )
        self.held = dict(state["held"])


def unmet(conditions: Sequence[Condition], metrics: Mapping[str, float]) -> str | None:
    """Which condition keeps a stage from starting, given the last evaluation; None if none does."""
    for condition in conditions:
        value = metrics.get(condition.metric)
        if value is None:
            return f"{condition} can't be checked: the last evaluation gave {', '.join(sorted(metrics)) or 'nothing'}"
        if not condition.holds(value):
            return f"{condition} does not hold: it is {value:.3g}"
    return None
