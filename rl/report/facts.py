"""What a finding is, and the facts about a stage that rules look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rewards.registry import Part
from rl.language import Text
from rl.report.read import Stage
from rl.report.trend import Trend, trend

Level = Literal["problem", "warning", "note", "good"]
LEVELS: tuple[Level, ...] = ("problem", "warning", "note", "good")


@dataclass(frozen=True)
class Finding:
    """One thing that the numbers say."""

    code: str
    """Short name of the rule that found it."""
    level: Level
    text: Text
    """What was found, with the figures that show it."""
    fix: Text | Literal[""] = ""
    """What to do, with the name of the key; empty where there is nothing to do."""


@dataclass(frozen=True)
class Facts:
    """A stage with what several rules ask for."""

    stage: Stage
    parts: Mapping[str, Part]
    """Its rewards by name, published totals written out."""
    reward: Trend

    def key(self, path: str, default: Any = None) -> Any:
        """A value of the stage's configuration by its dotted path."""
        found: Any = self.stage.config
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return default if found is None else found

    def late(self, metric: str) -> float | None:
        """Mean of a metric over the last quarter of the stage, or over all of a short one; None if it has none."""
        values = self.stage.values(metric)
        if not values:
            return None
        found = trend(values)
        return found.last if found.long_enough else sum(values) / len(values)

    @property
    def accuracy(self) -> str | None:
        """The metric that says how often the policy is right: that of ``accuracy``, else of the heaviest part."""
        names = sorted(self.parts, key=lambda name: (name != "accuracy", -abs(self.parts[name].weight)))
        return next((f"reward/{name}" for name in names if f"reward/{name}" in self.stage.metrics), None)

    @property
    def span(self) -> Text:
        """The steps that :meth:`late` is about, in words."""
        if self.reward.long_enough:
            return Text("the last {n} steps", n=self.reward.window)
        return Text("its {n} steps", n=self.reward.steps)


def percent(share: float) -> str:
    """A share as it is written in a sentence."""
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.0995 else f"{100 * share:.1f} %"
