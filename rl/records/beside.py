"""Work in a thread beside the one that asks for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Beside:
    """Does one piece of work at a time. What goes wrong in it is raised where it is waited for."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._going_on: Future[None] | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin a piece of work, when the one before is done.

        Raises:
            Exception: that of the piece before.
        """
        self.wait()
        self._pool = self._pool or ThreadPoolExecutor(1)
        self._going_on = self._pool.submit(work)

    def wait(self) -> None:
        """Wait until the last piece of work is done.

        Raises:
            Exception: that of the piece.
        """
        going_on, self._going_on = self._going_on, None
        if going_on is not None:
            going_on.result()
