"""What everybody did in a step: traces/<stage>/step-000012.json, for Perfetto (ui.perfetto.dev) or chrome://tracing.

Every time is from the driver's clock: its phases, and its calls to actors from the request to the answer. So clocks of
other nodes are never compared, and the way of a request and its answer counts as the actor's. The ranks of a group are
called together and have one row, which ends with the slowest.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.waits import waiting
from rl.files import write_bytes

DRIVER = "driver"


@dataclass(frozen=True)
class Span:
    """Something that somebody did."""

    who: str
    what: str
    began: float
    ended: float
    """Seconds of time.perf_counter."""


class Trace:
    """Collects spans of the steps that are to be traced, and nothing in others."""

    def __init__(self, run_dir: Path, steps: tuple[int, ...]) -> None:
        """``steps`` are numbers of steps of each stage, from 0."""
        self.folder, self.steps = run_dir / "traces", steps
        self.on = False
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    def begin(self, step: int) -> None:
        """A step begins."""
        with self._lock:
            self.on, self._spans = step in self.steps, []
        waiting.on_call = self.add if self.on else None

    def add(self, who: str, what: str, began: float, ended: float) -> None:
        """Note what is over, from whatever thread."""
        if self.on:
            with self._lock:
                self._spans.append(Span(who, what, began, ended))

    def end(self, stage: str, step: int, began: float, ended: float) -> None:
        """The step is over. Calls that are still going on belong to the next one."""
        if not self.on:
            return
        with self._lock:
            spans = [Span(DRIVER, f"{stage} step {step}", began, ended), *self._spans]
        content = {"traceEvents": events(spans, began, ended), "displayTimeUnit": "ms"}
        write_bytes(self.folder / stage / f"step-{step:06d}.json", json.dumps(content, ensure_ascii=False).encode())


def events(spans: list[Span], began: float, ended: float) -> list[dict[str, Any]]:
    """Events of the Chrome trace format, in microseconds since the step began. Spans are cut to the step. The rows are
    the driver and then the actors by name; calls of an actor that overlap have rows of their own."""
    rows: dict[str, list[list[Span]]] = {DRIVER: []}
    for span in sorted(spans, key=lambda one: (one.who != DRIVER, one.who, one.began, -one.ended)):
        lanes = rows.setdefault(span.who, [])
        lane = next((lane for lane in lanes if _fits(span, lane)), None)
        if lane is None:
            lanes.append([span])
        else:
            lane.append(span)
    found: list[dict[str, Any]] = []
    for name, lane in ((name, lane) for name, lanes in rows.items() for lane in lanes):
        row = sum(event["ph"] == "M" for event in found)
        found.append({"ph": "M", "name": "thread_name", "pid": 0, "tid": row, "args": {"name": name}})
        for span in lane:
            start, stop = max(span.began, began), min(span.ended, ended)
            if stop >= start:
                first, last = round((start - began) * 1e6), round((stop - began) * 1e6)
                place = {"pid": 0, "tid": row, "ts": first, "dur": last - first}
                found.append({"ph": "X", "name": span.what, "cat": name, **place})
    return found


def _fits(span: Span, lane: list[Span]) -> bool:
    """Whether a span is after all of a row, or within those that it overlaps."""
    return all(other.ended <= span.began or other.ended >= span.ended for other in lane)
