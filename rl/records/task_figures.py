"""How the figures of a benchmark's task are put into words, for tables in a terminal and for pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def percent(value: float | None) -> str:
    """A share in percent, without its sign; empty for None."""
    return "" if value is None else f"{100 * value:.1f}"


def between(interval: Sequence[float] | None) -> str:
    """An interval in percent; empty for None."""
    return "" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def notes(task: Mapping[str, Any]) -> list[str]:
    """What a reader of a task's score must know. ``task`` is its record in scores.json or benchmarks.json."""
    found = [task["problem"]] if "problem" in task else []
    found += [f"contains {task['contaminated']}"] if task["contaminated"] else []
    if task["too_long"]:
        found.append(f"{task['too_long']} too long to be asked")
    if task["shots_left_out"]:
        found.append(f"{task['shots_left_out']} asked with fewer examples")
    if task["truncated"]:
        found.append(f"{task['truncated']} answer{'s' if task['truncated'] > 1 else ''} cut off")
    errored = task.get("judge", {}).get("errored", 0)
    return found + ([f"{errored} verdicts errored"] if errored else [])
