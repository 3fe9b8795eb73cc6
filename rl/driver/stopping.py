"""SIGTERM in a training stage: the step is done and saved before the run ends, so that a job that is queued again
loses no work."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Whether the run was asked to end."""

    def __init__(self) -> None:
        self.asked = False
        """Whether it ends after this step."""
        self._within_s = 0.0

    @contextmanager
    def after_steps(self, within_s: float) -> Iterator[None]:
        """In here steps are made, and a run that is asked to end may take so long (seconds) to end its step."""
        self._within_s = within_s
        try:
            yield
        finally:
            self._within_s = 0.0

    def ask(self) -> float:
        """Ask that the run ends after its step.

        Returns:
            The longest time until then (seconds). 0 if it is to end now: no step is being made, or it was asked before.
        """
        if self.asked:
            return 0.0
        self.asked = self._within_s > 0
        return self._within_s

    def end(self) -> None:
        """End the run, which was asked to: its step is saved."""
        signal.raise_signal(signal.SIGTERM)


stop = Stop()
"""Of this process. The handler of a signal can be given nothing."""
