"""What an entry of the catalogue of metrics says (:mod:`rl.config.metrics`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["mid_training", "perplexity", "sft", "rejection", "grpo", "evaluate"]
TRAINING: tuple[Kind, ...] = ("mid_training", "sft", "rejection", "grpo")
SUPERVISED: tuple[Kind, ...] = ("mid_training", "sft")

EVERY = "every step"
ONCE = "once"
UPDATE = "steps with an update"
SAMPLED = "steps that sample"
SEEN = "from the task's first scored group on"
MEASURED = "every `held_out_every` steps and the last"


@dataclass(frozen=True)
class LoggingSetting:
    """What decides which metrics a stage logs."""

    stage: Any
    """The configuration of the stage (rl.config.stages)."""
    rewards: Sequence[str] = ()
    """Names of its rewards, published totals written out."""
    judge: bool = False
    """Whether a language model judges in this run."""


@dataclass(frozen=True)
class When:
    """A condition on the configuration, in words and as a function."""

    text: str
    holds: Callable[[LoggingSetting], bool]


@dataclass(frozen=True)
class Metric:
    """One metric, or a family of metrics that differ in the values of placeholders."""

    name: str
    label: str
    """Short name for the report; may hold a placeholder of ``name``."""
    unit: str
    """Empty for a number without a unit."""
    meaning: str
    """What it is, with its formula or source where it has one."""
    kinds: tuple[Kind, ...] = ("grpo",)
    """Kinds of stages that log it."""
    steps: str = EVERY
    """Which steps log it, in words."""
    when: When | None = None
    """What the configuration must say for it to be logged at all; None if nothing."""
    shown: bool = False
    """Whether it is a figure of the progress line."""
    curve: Literal["noisy", "exact", "points"] = "noisy"
    """How the report draws it: with a moving mean, as it is, or as single measurements."""

    def logged(self, setting: LoggingSetting) -> bool:
        """Whether a stage of one of its kinds logs it."""
        return self.when is None or self.when.holds(setting)

    def values(self, name: str) -> dict[str, str] | None:
        """The values of the placeholders in a name; None for a name that is not of this family."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(self.name))
        found = re.fullmatch(pattern, name)
        return None if found is None else found.groupdict()

    def names(self, values: Mapping[str, Sequence[str]]) -> list[str]:
        """Its names for the values of its one placeholder; none where these are not known."""
        placeholders = re.findall(r"\{(\w+)\}", self.name)
        if not placeholders:
            return [self.name]
        known = values.get(placeholders[0], ()) if len(placeholders) == 1 else ()
        return [self.name.format(**{placeholders[0]: value}) for value in known]
