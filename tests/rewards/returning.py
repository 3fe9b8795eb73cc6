"""A user's rewards as they occur: what they return, how they are called, what else they do."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from rewards.verdict import Sample, Verdict


def _torch(values: Any) -> Any:
    import torch

    return torch.tensor(values)


NUMBERS = {
    "float": (0.25, 0.25), "int": (3, 3.0), "true": (True, 1.0), "false": (False, 0.0),
    "decimal": (Decimal("0.75"), 0.75), "fraction": (Fraction(3, 4), 0.75), "float16": (np.float16(0.5), 0.5),
    "float32": (np.float32(0.1), float(np.float32(0.1))), "float64": (np.float64(0.1), 0.1),
    "longdouble": (np.longdouble(0.5), 0.5), "int8": (np.int8(-2), -2.0), "uint64": (np.uint64(7), 7.0),
    "bool_": (np.bool_(True), 1.0), "no dimension": (np.array(0.5), 0.5), "one element": (np.array([[0.5]]), 0.5),
    "tensor": (lambda: _torch(0.5), 0.5), "tensor of one": (lambda: _torch([2]), 2.0),
    "bool tensor": (lambda: _torch(True), 1.0),
}  # fmt: skip
"""Values that are one number, and which."""
NO_NUMBERS = {
    "nothing": None, "list": [0.5], "empty": [], "dict": {"score": 1.0}, "text": "0.5", "bytes": b"1",
    "tuple": (1.0, ""),
    "complex": 1j, "two": np.array([0.1, 0.2]), "two tensors": lambda: _torch([0.1, 0.2]), "nan": float("nan"),
    "inf": float("inf"), "minus inf": np.float32("-inf"), "decimal nan": Decimal("nan"), "signalling": Decimal("sNaN"),
    "date": np.datetime64("2024-01-01"), "string": np.str_("0.5"), "huge": 10**400, "class": Verdict,
    "masked": np.ma.masked,
}  # fmt: skip
"""Values that are not."""


def returns(sample: Sample, wrapped: bool = False) -> Any:
    """What the completion names, as it is or as the score of a verdict."""
    found = NUMBERS[sample.completion][0] if sample.completion in NUMBERS else NO_NUMBERS[sample.completion]
    found = found() if callable(found) and found is not Verdict else found
    return Verdict(found, reason="wrapped") if wrapped else found


def does(sample: Sample) -> Verdict:
    """Does what the completion says, and is right all the same."""
    what = sample.completion
    if what == "prints":
        print("长" * 40_000)
        sys.stdout.write('{"score": 9}\n')
        sys.__stdout__.flush()
    if what == "loop":
        return Verdict(asyncio.run(asyncio.sleep(0, 1.0)))
    if what == "alarm":
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.2)  # and leaves it on
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if what == "pool":
        with ProcessPoolExecutor(1) as pool:
            return Verdict(float(pool.submit(len, "a").result()))
    if what == "input":
        input("? ")
    if what == "forks":
        os.fork()  # the copy runs on
    if what == "keyboard":
        raise KeyboardInterrupt
    if what == "exit":
        sys.exit(3)
    return Verdict(1.0)


def reasons(sample: Sample) -> Verdict:
    """A reason that is not text, or not text that can be written."""
    reason: Any = {"number": 3, "none": None, "lone": "甲\ud800乙", "pair": "\ud83d\ude00"}[sample.completion]
    return Verdict(1.0, reason=reason)


def error_of_its_own(sample: Sample) -> Verdict:
    """An error that is not text."""
    return Verdict(None, error=ValueError("破\udfff"))  # type: ignore[arg-type]


class Scorer:
    """An object that is called."""

    def __call__(self, sample: Sample, bonus: float = 0.0) -> Verdict:
        return Verdict(0.5 + bonus)

    def method(self, sample: Sample) -> Verdict:
        """A bound method is a function, too."""
        return Verdict(0.75)


class Waiting:
    """An object whose call must be awaited."""

    async def __call__(self, sample: Sample) -> Verdict:
        return Verdict(1.0)


scorer, waiting = Scorer(), Waiting()
bound = scorer.method
short = lambda sample: 0.125  # noqa: E731
number = 3.0


def any_options(sample: Sample, **options: float) -> float:
    """Takes whatever options there are."""
    return sum(options.values())


def keyword(sample: Sample, *, scale: float) -> float:
    """An option without a default."""
    return scale


def two(sample: Sample, reference: str) -> float:
    """Wants the reference beside the sample."""
    return 1.0


def none_at_all() -> float:
    """Takes no sample."""
    return 1.0


def named(*, sample: Sample) -> float:
    """Takes the sample by name alone."""
    return 1.0


async def waits(sample: Sample) -> Verdict:
    """Must be awaited."""
    return Verdict(1.0)


def hands_on(sample: Sample) -> Any:
    """Returns what must be awaited, without saying so."""
    return waits(sample)


def yields(sample: Sample) -> Iterator[float]:
    """A generator."""
    yield 1.0


async def streams(sample: Sample) -> AsyncIterator[float]:
    """An asynchronous generator."""
    yield 1.0


def hungry(sample: Sample) -> Verdict:
    """Wants more memory than a small worker has."""
    return Verdict(float(len(bytearray(2_000_000_000)) > 0))
