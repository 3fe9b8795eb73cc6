"""Gauges of a run in Ray, from where Prometheus scrapes them.

Ray forgets a gauge with each export, and its agent drops one that does not come again within two exports (20 s). So
what a run has to show is set again every few seconds, by the thread that looks at its actors. What it takes back, and
all of it when the run has ended or was killed, is gone 20 s later by itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from rl.config.gauges import ACTIVE, LOSSES, PROGRESS, STEP, Gauge, reading

Series = tuple[Gauge, tuple[tuple[str, str], ...]]
"""A gauge with values of its labels."""
PRINTABLE = "".join(chr(code) for code in range(32, 127))


class Gauges:
    """The gauges of one run. Without Ray nothing is exported."""

    _made: ClassVar[dict[str, Any]] = {}
    """Ray's gauges of this process, by name."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._values: dict[Series, float] = {}
        """What the run has to show."""
        self._steps: dict[str, set[Series]] = {}
        """What the last steps of each stage have set of it."""
        self._lock = threading.Lock()

    def begin(self, losses: Mapping[str, int]) -> None:
        """The run begins. Show what it has lost so far: how often, by who was lost."""
        for actor, times in ({"driver": 0} | dict(losses)).items():
            self.lost(actor, times)

    def lost(self, actor: str, times: int) -> None:
        """Show how often an actor was lost."""
        self._set({(LOSSES, (("actor", actor), ("run", self.run))): float(times)})

    def begin_stage(self, stage: str, done: int) -> None:
        """A stage begins, or goes on after ``done`` steps."""
        for other in self._steps:
            self._set({self._of(ACTIVE, other): 0.0})
        self._steps.setdefault(stage, set())
        self._set({self._of(ACTIVE, stage): 1.0})
        self.progress(stage, done)

    def progress(self, stage: str, done: int) -> None:
        """So much of a stage is done."""
        self._set({self._of(STEP, stage): float(done), self._of(PROGRESS, stage): time.time()})

    def step(self, stage: str, metrics: Mapping[str, float]) -> None:
        """Show the metrics of a step, those of its times as ``time/…``. What it does not have is taken back, except
        single measurements. Ray exports finite numbers only."""
        found = {name: reading(name) for name, value in metrics.items() if math.isfinite(value)}
        values = {self._of(one[0], stage, one[1]): metrics[name] for name, one in found.items() if one is not None}
        before = self._steps.get(stage, set())
        gone = {series for series in before - set(values) if not series[0].stays}
        self._steps[stage] = before - gone | set(values)
        self._set(values, gone)

    def again(self) -> None:
        """Set everything again, so that Ray does not drop it."""
        import ray

        if not ray.is_initialized():
            return
        with self._lock:
            for (gauge, labels), value in self._values.items():
                if gauge.name not in Gauges._made:
                    from ray.util.metrics import Gauge as RayGauge

                    Gauges._made[gauge.name] = RayGauge(gauge.name, in_ascii(gauge.meaning), tag_keys=gauge.labels)
                Gauges._made[gauge.name].set(value, tags={label: in_ascii(text) for label, text in labels})

    def _of(self, gauge: Gauge, stage: str, labels: Mapping[str, str] | None = None) -> Series:
        return gauge, tuple(sorted({"run": self.run, "stage": stage, **(labels or {})}.items()))

    def _set(self, values: Mapping[Series, float], gone: set[Series] | None = None) -> None:
        with self._lock:
            self._values.update(values)
            for series in gone or ():
                del self._values[series]
        self.again()


def in_ascii(text: str) -> str:
    """A text with all but printable ASCII as in a URL (``%E6%B3%95``): Ray takes no other labels."""
    return quote(text, safe=PRINTABLE)
