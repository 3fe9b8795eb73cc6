"""Does a noisy series rise? A straight line through it, and how far its slope is from 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_STEPS = 10
"""With fewer steps a slope can't be distinguished from noise."""
SURE = 3.0
"""Standard errors from which a slope counts: with a dozen steps or more, noise gets there once in a hundred times."""


@dataclass(frozen=True)
class Trend:
    """A series by its ends and its slope."""

    steps: int
    window: int
    """Values at either end that ``first`` and ``last`` are means of: a quarter of the series."""
    first: float
    last: float
    sigmas: float
    """Slope of the least-squares line in its own standard errors; 0 for fewer than three values."""
    visible: float
    """Smallest change from end to end that would have counted."""

    @property
    def long_enough(self) -> bool:
        """Whether it has enough steps for a judgment."""
        return self.steps >= LEAST_STEPS

    @property
    def rises(self) -> bool:
        """Whether it rises beyond its noise."""
        return self.long_enough and self.sigmas >= SURE

    @property
    def falls(self) -> bool:
        """Whether it falls beyond its noise."""
        return self.long_enough and self.sigmas <= -SURE

    @property
    def flat(self) -> bool:
        """Whether it does neither, with enough steps for a judgment."""
        return self.long_enough and abs(self.sigmas) < SURE


def trend(values: Sequence[float]) -> Trend:
    """The trend of a series of step values."""
    n = len(values)
    if n == 0:
        return Trend(0, 0, 0.0, 0.0, 0.0, 0.0)
    window = max(1, n // 4)
    first, last = math.fsum(values[:window]) / window, math.fsum(values[-window:]) / window
    if n < 3:
        return Trend(n, window, first, last, 0.0, 0.0)
    middle, mean = (n - 1) / 2, math.fsum(values) / n
    spread = math.fsum((x - middle) ** 2 for x in range(n))
    slope = math.fsum((x - middle) * (y - mean) for x, y in enumerate(values)) / spread
    rest = math.fsum((y - mean - slope * (x - middle)) ** 2 for x, y in enumerate(values))
    error = math.sqrt(rest / (n - 2) / spread)
    noise = max(error, 1e-9 * max(abs(mean), 1e-9) / n)  # a series without noise has no error, but rounding
    return Trend(n, window, first, last, slope / noise, SURE * error * (n - 1))
