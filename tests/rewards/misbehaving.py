"""A user's rewards, some of which go wrong."""

import os
import time

from rewards.verdict import Sample, Verdict


def well(sample: Sample, bonus: float = 0.0) -> Verdict:
    """1 and a bonus."""
    return Verdict(1.0 + bonus)


def badly(sample: Sample) -> Verdict:
    """Does what the completion says."""
    what = sample.completion
    if what == "hang":
        time.sleep(1000)
    if what == "regex":
        import re

        re.match(r"(a+)+$", "a" * 64 + "b")  # holds the interpreter's lock for ages
    if what == "crash":
        os._exit(7)
    if what == "signal":
        os.kill(os.getpid(), 11)
    if what == "exit":
        raise SystemExit(3)
    if what == "raise":
        raise RuntimeError("no")
    if what == "memory":
        hoard = []
        while True:
            hoard.append(bytearray(600_000_000))
    if what == "print":
        print('{"score": 99}' * 10_000)
    if what == "read":
        input()
    if what == "recursion":
        return badly(sample)
    return Verdict(0.25)


def slow(sample: Sample) -> float:
    """The number that the completion is, after a while."""
    time.sleep(0.05)
    return float(sample.completion)


def crashing(sample: Sample) -> Verdict:
    """Ends its process over one reference."""
    if "崩溃" in sample.reference:
        os._exit(7)
    return Verdict(1.0)


def broken(sample: Sample) -> Verdict:
    """Fails on any sample."""
    raise KeyError("reference")


def no_verdict(sample: Sample) -> list[float]:
    """Returns a list."""
    return [1.0]
