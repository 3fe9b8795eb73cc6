"""Actors that are replaced when they die."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError

CREATION = "error raised in its creation task"
"""How Ray says that an actor's constructor raised."""


class Supervised:
    """A named actor whose calls survive its death.

    When the actor dies or does not answer in time, it is killed, made again under its name, brought up to date by
    ``on_restart``, and the call is issued again. An exception inside the actor is not its death and is passed on. Calls
    may come from several threads; the first to notice a death replaces the actor.
    """

    def __init__(
        self,
        name: str,
        actor_class: type,
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        max_restarts: int,
        on_restart: Callable[[Any], None] = lambda handle: None,
    ) -> None:
        self.name, self.actor_class, self.arguments, self.options = name, actor_class, arguments, options
        self.max_restarts, self.on_restart = max_restarts, on_restart
        self.restarts = 0
        self._lock = threading.Lock()
        self._stopped = False
        self.handle = self._start()

    def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """The result of a method of the actor; ``timeout_s`` is its longest wait (seconds).

        Raises:
            RuntimeError: if the actor was lost more often than ``max_restarts``.
            TimeoutError: if a freshly made actor did not answer in time either.
        """
        timeouts = 0
        while True:
            handle = self.handle
            try:
                return ray.get(getattr(handle, method).remote(*arguments), timeout=timeout_s)
            except GetTimeoutError as error:
                timeouts += 1
                self._replace(handle, f"did not finish {method} within {timeout_s:.0f} s")
                if timeouts > 1:
                    raise TimeoutError(
                        f"{self.name} did not finish {method} within {timeout_s:.0f} s, twice"
                    ) from error
            except (RayActorError, ActorUnavailableError) as error:
                self._replace(handle, f"died in {method}: {_cause(error)}")

    def finish(self, method: str, timeout_s: float) -> None:
        """Let the actor close what it holds; wait at most ``timeout_s`` seconds for it."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(getattr(self.handle, method).remote(), timeout=timeout_s)

    def stop(self) -> None:
        """End the actor."""
        with self._lock:
            self._stopped = True
            ray.kill(self.handle)

    def _replace(self, lost: Any, reason: str) -> None:
        if CREATION in reason:  # it would fail again in the same way
            raise RuntimeError(f"{self.name} could not start: {reason}")
        with self._lock:
            if self.handle is not lost:
                return
            if self._stopped:
                raise RuntimeError(f"{self.name} was stopped")
            self.restarts += 1
            if self.restarts > self.max_restarts:
                raise RuntimeError(
                    f"{self.name} was lost {self.restarts} times, more than allowed; the last time it {reason}"
                )
            ray.kill(self.handle)
            self.handle = replacement = self._start()
        self.on_restart(replacement)

    def _start(self) -> Any:
        actor = ray.remote(self.actor_class).options(name=self.name, **self.options)
        for _ in range(100):  # a name is free again shortly after its actor has ended
            try:
                return actor.remote(*self.arguments)
            except ValueError:
                time.sleep(0.1)
        return actor.remote(*self.arguments)


def _cause(error: Exception) -> str:
    """What Ray says about a death, in one line; for an actor that could not start, the end of its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if CREATION not in lines[0] else f"{CREATION}: {' '.join(lines[-3:])[:600]}"
