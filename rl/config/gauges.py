"""The catalogue of metrics as Ray gauges, which Prometheus scrapes: each number of a line of metrics.jsonl is one.

A gauge is named after its metric: ``themis_`` and the name with ``_`` for ``/``. Placeholders become labels, and a name
that ends in one says so: ``accuracy/{task}`` is ``themis_accuracy_by_task{task="age"}``. Every gauge has the label
``run``, the name of the run folder, and those of a step have ``stage``. Ray puts ``ray_`` before all names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rl.config.metric import Metric
from rl.config.metrics import METRICS, PHASES

PREFIX = "themis_"


@dataclass(frozen=True)
class Gauge:
    """A gauge, or with labels a family of gauges."""

    name: str
    labels: tuple[str, ...]
    meaning: str
    stays: bool = False
    """Whether its value holds until it is measured again, in steps that don't measure it too."""


STEP = Gauge(f"{PREFIX}step", ("run", "stage"), "Steps of the stage that are done.")
PROGRESS = Gauge(
    f"{PREFIX}progress_timestamp_seconds", ("run", "stage"), "When the stage began or last made progress, Unix time."
)
ACTIVE = Gauge(f"{PREFIX}stage_active", ("run", "stage"), "1 for the stage that the run is in, 0 for those before it.")
LOSSES = Gauge(
    f"{PREFIX}losses", ("run", "actor"), "Processes that the run has lost, by who was lost, resumes included."
)
ABOUT_RUN = (STEP, PROGRESS, ACTIVE, LOSSES)
"""Gauges that are no metrics of a step."""


def gauge_of(metric: Metric) -> Gauge:
    """The gauge of a metric of the catalogue."""
    if metric in PHASES:
        return Gauge(f"{PREFIX}phase_seconds", ("run", "stage", "phase"), "Seconds of a step by phase.")
    plain = metric.name.removeprefix("time/")
    last = re.search(r"/\{(\w+)\}$", plain)
    words = re.sub(r"/?\{\w+\}", "", plain).strip("/").replace("/", "_")
    unit = "_seconds" if plain != metric.name and metric.unit == "s" else ""
    name = PREFIX + words + (f"_by_{last[1]}" if last else "") + unit
    return Gauge(name, ("run", "stage", *re.findall(r"\{(\w+)\}", plain)), metric.meaning, metric.curve == "points")


def reading(name: str) -> tuple[Gauge, dict[str, str]] | None:
    """The gauge of a number by its name in metrics.jsonl, and the values of its own labels; None if it is not in the
    catalogue. Stages of different kinds may give one name different meanings, but it is one gauge."""
    whole = next((one for one in METRICS if one.name == name), None)
    metric = whole or next((one for one in METRICS if one.values(name) is not None), None)
    if metric is None:
        return None
    if metric in PHASES:
        return gauge_of(metric), {"phase": metric.label}
    return gauge_of(metric), metric.values(name) or {}
