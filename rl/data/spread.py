"""Work on many rows, spread over the cores of this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from rewards.lifetime import die_with_parent
from rl.errors import UserError

Part = TypeVar("Part")
Result = TypeVar("Result")

_work: Callable[[Any], Any]
"""In a process of :func:`spread`: what it does."""


def spread(work: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
    """The result of each part, in order. Parts and results are pickled, ``work`` is not.

    Several parts are worked on by forked processes, one a core. A process in which Ray runs has threads of it, which a
    fork may leave in any state, so it does all itself: data is read before Ray starts.

    Raises:
        UserError: if one of the processes is killed.
    """
    cores = min(len(parts), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    ray = sys.modules.get("ray")
    if cores < 2 or (ray is not None and ray.is_initialized()):
        yield from map(work, parts)
        return
    with ProcessPoolExecutor(cores, get_context("fork"), _begin, (work,)) as pool:
        try:
            yield from pool.map(_do, parts)
        except BrokenProcessPool:
            raise UserError(
                "a process that read data was killed, most often because memory is used up; free some, and start the "
                "same command again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that forked ends this one
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core a process; threads did not come along


def _do(part: Any) -> Any:
    return _work(part)
