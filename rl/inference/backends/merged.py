"""What several actors give, in the order in which it comes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class _Ended:
    """A source has no more to give, or failed."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def merged(sources: Sequence[Iterator[T]]) -> Iterator[T]:
    """The items of all sources, each source read by a thread of its own.

    After an error no source is asked for another item. What the others have given is still yielded, and then the first
    error is raised. A reader that stops early stops the sources, too.
    """
    arrived: queue.Queue[T | _Ended] = queue.Queue()
    stop = threading.Event()

    def read(source: Iterator[T]) -> None:
        error = None
        try:
            for item in source:
                arrived.put(item)
                if stop.is_set():
                    break
        except BaseException as raised:  # raised again by the thread that reads
            error = raised
        arrived.put(_Ended(error))

    for source in sources:
        threading.Thread(target=read, args=(source,), daemon=True).start()
    working, problem = len(sources), None
    try:
        while working:
            found = arrived.get()
            if isinstance(found, _Ended):
                working -= 1
                problem = problem or found.error
                if found.error is not None:
                    stop.set()
            else:
                yield found
    finally:
        stop.set()
    if problem is not None:
        raise problem
