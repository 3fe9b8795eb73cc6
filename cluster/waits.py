"""Who the driver waits for, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

FIRST_S, MOST_S = 60.0, 3600.0
"""A wait is told after so long (seconds), then each time that it has doubled, but at least so often."""


@dataclass
class Wait:
    """One wait for an answer."""

    who: str
    what: str
    """What is awaited of it: the name of a method, or a phase."""
    waited_s: float = 0.0
    told_at_s: float = FIRST_S
    """How long it must last until it is told (again)."""


class Waits:
    """The waits that are going on in this process, in whatever thread.

    Time passes only by :meth:`pass_time`. So neither a clock that is set nor a process that was frozen makes a wait
    look longer than it was.
    """

    def __init__(self) -> None:
        self._open: list[Wait] = []
        self._lock = threading.Lock()
        self.still_s = 0.0
        """Seconds since the last wait began or ended."""
        self.on_call: Callable[[str, str, float, float], None] | None = None
        """Told of each call that is over: who was called, the method, its begin and end (time.perf_counter)."""

    @contextmanager
    def __call__(self, who: str, what: str) -> Iterator[None]:
        """Wait for somebody within a ``with`` block."""
        wait = Wait(who, what)
        with self._lock:
            self._open.append(wait)
            self.still_s = 0.0
        try:
            yield
        finally:
            with self._lock:
                self._open = [one for one in self._open if one is not wait]
                self.still_s = 0.0

    @contextmanager
    def call(self, who: str, method: str) -> Iterator[None]:
        """Wait within a ``with`` block for the answer of an actor, or of all ranks of a group, to one call."""
        began = time.perf_counter()
        try:
            with self(who, method):
                yield
        finally:
            if self.on_call is not None:
                self.on_call(who, method, began, time.perf_counter())

    def pass_time(self, seconds: float) -> list[Wait]:
        """Let time pass; returns the waits that are to be told now, the longest first. Of equal ones only one is."""
        with self._lock:
            self.still_s += seconds
            for one in self._open:
                one.waited_s += seconds
            due: dict[tuple[str, str], Wait] = {}
            for one in sorted(self._open, key=lambda one: -one.waited_s):
                if one.waited_s >= one.told_at_s:
                    one.told_at_s += min(one.told_at_s, MOST_S)
                    due.setdefault((one.who, one.what), one)
            return list(due.values())

    def longest(self) -> list[Wait]:
        """The waits that are going on, the longest first."""
        with self._lock:
            return sorted(self._open, key=lambda one: -one.waited_s)


waiting = Waits()
"""Those of this process."""
