"""Actors that are replaced when they die."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import (
    GetTimeoutError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RaySystemError,
    RpcError,
)

from cluster.errors import Away, Lost
from cluster.waits import waiting
from cluster.watch import Watch

CREATION = "error raised in its creation task"
"""How Ray says that an actor's constructor raised."""
Tell = Callable[[str, str, Any], None]
"""(name of the actor, what happened to it, its handle): told of each actor that is replaced."""


Place = Callable[[bool], dict[str, Any] | None]
"""Ray's options for the place of a new actor; None while there is none. It is given whether the actor was lost just
now: then it may wait for a place, where nobody else could do the work."""
RETURN_S = 5.0
"""How often it is looked whether an actor that is away has a place again (seconds)."""
LATER_S = 300.0
"""The longest wait for another look after it did not come back (seconds)."""


def tell_nobody(name: str, why: str, handle: Any) -> None:
    """Say nothing of a loss."""


class Supervised:
    """A named actor whose calls survive its death.

    When the actor dies or does not answer in time, it is killed, made again under its name, brought up to date by
    ``on_restart``, and the call is issued again. An exception inside the actor is not its death and is passed on. Calls
    may come from several threads; the first to notice a death replaces the actor.

    An actor that has lost its place, too, is away: calls raise :class:`cluster.errors.Away`, and a thread starts it
    again once there is a place.
    """

    def __init__(
        self,
        name: str,
        actor_class: type,
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        max_restarts: int,
        on_restart: Callable[[Any], None] = lambda handle: None,
        watch: Watch | None = None,
        tell: Tell = tell_nobody,
        place: Place = lambda lost: {},
    ) -> None:
        """
        Args:
            name: of the actor, in messages, and on the cluster if the options give it no other one.
            actor_class: its class.
            arguments: of its constructor.
            options: Ray's options for it.
            max_restarts: how often it may be lost.
            on_restart: brings a new one up to date, and ends that it is :attr:`away`.
            watch: ends it if it is frozen.
            tell: is told when it is replaced.
            place: adds to the options where it is.
        """
        self.watch, self.tell, self.place = watch, tell, place
        self.name, self.actor_class, self.arguments, self.options = name, actor_class, arguments, options
        self.max_restarts, self.on_restart = max_restarts, on_restart
        self.restarts = 0
        self.away = False
        """Whether it has no place and is not to be called."""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.handle = self._start(place(False) or {})

    def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """The result of a method of the actor; ``timeout_s`` is its longest wait (seconds).

        Raises:
            Lost: if the actor was lost more often than ``max_restarts``, or Ray itself was lost.
            RuntimeError: if it could not start.
            TimeoutError: if a freshly made actor did not answer in time either.
            Away: if it has no place.
        """
        timeouts = 0
        while True:
            handle = self.handle
            if self.away:
                raise Away(f"{self.name} is away: there is no place for it")
            try:
                with waiting.call(self.name, method):
                    return ray.get(getattr(handle, method).remote(*arguments), timeout=timeout_s)
            except GetTimeoutError as error:
                timeouts += 1
                self._replace(handle, f"did not finish {method} within {timeout_s:.0f} s")
                if timeouts > 1:
                    raise TimeoutError(
                        f"{self.name} did not finish {method} within {timeout_s:.0f} s, twice"
                    ) from error
            except RayActorError as error:
                self._replace(handle, cause_of_death(error))

    def finish(self, method: str, timeout_s: float) -> Any:
        """The result of a method that ends the actor's work; None if it has died, or does not answer within
        ``timeout_s`` seconds."""
        with contextlib.suppress(ray.exceptions.RayError):
            if self.away:
                return None
            return ray.get(getattr(self.handle, method).remote(), timeout=timeout_s)

    def stop(self) -> None:
        """End the actor."""
        self._stopped.set()
        with self._lock:
            self._end(self.handle)

    def leave(self) -> None:
        """End the actor until :attr:`place` has a place for it."""
        with self._lock:
            if not self.away:
                self._end(self.handle)
                self._go_away()

    def _go_away(self) -> None:
        self.away = True
        threading.Thread(target=self._return, daemon=True, name=f"{self.name} returns").start()

    def _return(self) -> None:
        """Start the actor again when there is a place for it."""
        wait_s = RETURN_S
        while not self._stopped.wait(wait_s):
            try:
                if (place := self.place(False)) is None:
                    continue
                with self._lock:
                    if self._stopped.is_set():
                        return
                    self.handle = self._start(place)
                self.on_restart(self.handle)
                return
            except Exception as error:  # whatever it is, the others go on
                if self._stopped.is_set():
                    return
                self._end(self.handle)
                wait_s = min(2 * wait_s, LATER_S)
                why = next(iter(str(error).strip().splitlines()), type(error).__name__)
                print(f"{self.name} did not come back, and is tried again in {wait_s:.0f} s: {why}", flush=True)

    def _replace(self, lost: Any, reason: str) -> None:
        if CREATION in reason:  # it would fail again in the same way
            raise RuntimeError(f"{self.name} could not start: {reason}")
        if self.watch is not None:
            self.watch.require()
            reason = self.watch.of(lost).ended or reason
        with self._lock:
            if self.handle is not lost or self.away:
                return
            if self._stopped.is_set():
                raise Lost(self.name, "was stopped")
            self.restarts += 1
            if self.restarts > self.max_restarts:
                raise Lost(self.name, f"was lost {self.restarts} times, more than allowed; the last time it {reason}")
            place = self.place(True)
            self._end(lost)
            if place is None:
                self._go_away()
            self.tell(self.name, reason, lost)
            if place is None:
                return
            self.handle = replacement = self._start(place)
        try:
            self.on_restart(replacement)
        except RayActorError as error:
            self._replace(replacement, cause_of_death(error))
        except GetTimeoutError:
            self._replace(replacement, "did not come up in time")

    def _end(self, handle: Any) -> None:
        if self.watch is not None:
            self.watch.end(handle)
        else:
            ray.kill(handle)

    def _start(self, place: dict[str, Any]) -> Any:
        actor = ray.remote(self.actor_class).options(**{"name": self.name, **self.options, **place})
        for last in [False] * 100 + [True]:  # a name is free again shortly after its actor has ended
            try:
                handle = actor.remote(*self.arguments)
                break
            except ValueError:
                if last:
                    raise
                time.sleep(0.1)
        if self.watch is not None:
            self.watch.add(self.name, handle)
        return handle


def cause_of_death(error: RayActorError) -> str:
    """What Ray says about a death, in one line that follows the actor's name; for one that could not start, the end of
    its traceback.

    Raises:
        Lost: if it died with Ray itself.
    """
    lost = lost_ray(error)
    if lost is not None:
        raise lost from error
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if CREATION in lines[0]:
        return f"died: {CREATION}: {' '.join(lines[-3:])[:600]}"
    because = re.search(r"is dead because (.*?)(?:\.\s|\.?$)", text, re.MULTILINE)
    detail = re.search(r"exit type: (?!SYSTEM_ERROR)\w+ Worker exit detail: (.*?)(?:\.\s|\.?$)", text, re.MULTILINE)
    found = [part[1].strip() for part in (because, detail) if part]
    return f"died: {'; '.join(found) or lines[0].rstrip('.')}"


def lost_ray(error: BaseException) -> Lost | None:
    """What is lost if an error of Ray says that Ray itself, or a part of it, is gone; None for another error."""
    if "its owner has died" in str(error):  # the owner of every actor is this process, which Ray takes for dead
        return Lost("Ray", "was lost: the node of this process has died")
    gone = (RaySystemError, LocalRayletDiedError, NodeDiedError, ObjectLostError, RpcError)
    if isinstance(error, gone):
        return Lost("Ray", f"was lost: {str(error).strip().splitlines()[0].rstrip('.') or type(error).__name__}")
    return None


def as_lost(error: BaseException) -> Lost | None:
    """The same also for an actor that nobody has replaced."""
    if isinstance(error, Lost):
        return error
    found = lost_ray(error)
    if found is None and isinstance(error, RayActorError):
        return Lost("an actor", cause_of_death(error))
    return found
