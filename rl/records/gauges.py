"""Gauges of a run in Ray, from where Prometheus scrapes them.

Ray exports a gauge as long as the process that set it lives, and drops it within seconds of its end. So nothing of a
finished or killed run stays. What the next run in the same process replaces, and what a step does not have, is set to
NaN, which no alert fires on and no chart draws.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from rl.config.gauges import ACTIVE, LOSSES, PROGRESS, STEP, Gauge, reading

Series = tuple[Gauge, tuple[tuple[str, str], ...]]
"""A gauge with values of its labels."""
NAN = float("nan")
PRINTABLE = "".join(chr(code) for code in range(32, 127))


class Gauges:
    """The gauges of one run. Without Ray nothing is set."""

    _made: ClassVar[dict[str, Any]] = {}
    """Ray's gauges of this process, by name."""
    _set: ClassVar[set[Series]] = set()
    """What this process has set."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._stages: dict[str, set[Series]] = {}
        """What was set by the last step of each stage."""

    def begin(self, losses: Mapping[str, int]) -> None:
        """The run begins: take back the gauges of earlier runs of this process, and show what this one has lost so far
        (how often, by who was lost)."""
        for gauge, labels in list(Gauges._set):
            self._put(gauge, dict(labels), NAN)
        Gauges._set.clear()
        for actor, times in ({"driver": 0} | dict(losses)).items():
            self.lost(actor, times)

    def lost(self, actor: str, times: int) -> None:
        """Show how often an actor was lost."""
        self._put(LOSSES, {"run": self.run, "actor": actor}, float(times))

    def begin_stage(self, stage: str, done: int) -> None:
        """A stage begins, or goes on after ``done`` steps."""
        for other in self._stages:
            self._put(ACTIVE, self._at(other), 0.0)
        self._stages.setdefault(stage, set())
        self._put(ACTIVE, self._at(stage), 1.0)
        self.progress(stage, done)

    def progress(self, stage: str, done: int) -> None:
        """So much of a stage is done."""
        self._put(STEP, self._at(stage), float(done))
        self._put(PROGRESS, self._at(stage), time.time())

    def step(self, stage: str, metrics: Mapping[str, float]) -> None:
        """Show the metrics of a step, those of its times as ``time/…``. What the step before had and this one has not
        becomes NaN, a phase 0; only single measurements stay."""
        now: set[Series] = set()
        for name, value in metrics.items():
            found = reading(name)
            if found is not None:
                gauge, own = found
                now.add(self._put(gauge, self._at(stage) | own, value))
        before = self._stages.setdefault(stage, set())
        for gauge, labels in before - now:
            if not gauge.stays:
                self._put(gauge, dict(labels), 0.0 if "phase" in gauge.labels else NAN)
        self._stages[stage] = before | now

    def _at(self, stage: str) -> dict[str, str]:
        return {"run": self.run, "stage": stage}

    def _put(self, gauge: Gauge, labels: dict[str, str], value: float) -> Series:
        import ray

        series = gauge, tuple(sorted(labels.items()))
        if ray.is_initialized():
            if gauge.name not in Gauges._made:
                from ray.util.metrics import Gauge as RayGauge

                Gauges._made[gauge.name] = RayGauge(gauge.name, in_ascii(gauge.meaning), tag_keys=gauge.labels)
            Gauges._made[gauge.name].set(value, tags={label: in_ascii(text) for label, text in labels.items()})
            Gauges._set.add(series)
        return series


def in_ascii(text: str) -> str:
    """A text with all but printable ASCII as in a URL (``%E6%B3%95``): Ray takes no other labels."""
    return quote(text, safe=PRINTABLE)
