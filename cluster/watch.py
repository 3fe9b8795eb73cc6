"""A look at the processes of actors every few seconds, on whatever node they are: one that stays frozen is ended.

A process that a signal has stopped (SIGSTOP) answers nobody and never ends by itself; Ray does not tell it from one
that works for long. Its state in the kernel does: so neither a long step, nor a compilation, nor a machine that swaps
is taken for a frozen one. Ended, it is a dead one, which its callers notice and replace. What it has started is looked
at too, such as the server of a judge.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import Lost
from cluster.processes import GRACE_S, STOPPED, Known, end, known, look, stopped

FROZEN_S = 45.0
"""A process is ended when it has been stopped for so long (seconds), where nothing else is configured."""
LOOK_S = 5.0
"""Time between two looks (seconds)."""
PROMPT_S = 0.2
"""Time between two looks at Ray's own processes (seconds): soon after its raylet, Ray ends this process."""
ANSWER_S = 30.0
"""Longest wait for another node, or for the first process of a cluster that was joined (seconds)."""
INTERRUPT = signal.SIGRTMIN + 7
"""How the thread that looks wakes the main thread: a signal that no batch system sends."""


@dataclass
class Watched:
    """An actor that is looked at."""

    name: str
    handle: Any
    pid: int | None = None
    host: str | None = None
    node: str | None = None
    alive: bool = False
    """Whether Ray said that it runs when its pid was found."""
    process: Known | None = None
    frozen: dict[Known, float] = field(default_factory=dict)
    """Its processes that are stopped, and for how long they have been seen so (seconds)."""
    ended: str = ""
    """Why it was ended by the watch."""


class Watch:
    """Looks at actors in a thread until it is closed.

    When Ray itself is lost, the main thread is interrupted: it gets a KeyboardInterrupt, and :attr:`lost` says why.
    """

    def __init__(
        self, frozen_s: float, each_look: Callable[[Watch, float], None] = lambda watch, seconds: None
    ) -> None:
        """
        Args:
            frozen_s: a process that is stopped for so long (seconds) is ended.
            each_look: called after each look, with this object and the time since the last one (seconds).
        """
        self.frozen_s, self.each_look = frozen_s, each_look
        self.lost = ""
        """What happened to Ray itself, if it is lost."""
        self._actors: dict[Any, Watched] = {}
        self._past: list[Watched] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._silent_s = 0.0
        self._local = _local_node()
        self._old_handler: Any = None
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(INTERRUPT, self._raise)
        self._thread = threading.Thread(target=self._run, daemon=True, name="watch")
        self._thread.start()

    # --- what callers say and ask -----------------------------------------------------------------------------------

    def add(self, name: str, handle: Any) -> None:
        """Look at an actor from now on."""
        with self._lock:
            self._actors[handle._actor_id] = Watched(name, handle)

    def end(self, *handles: Any) -> None:
        """End actors for good, also frozen ones, and look at them no more."""
        import ray

        with self._lock:
            found = [self._actors.pop(handle._actor_id, Watched("", handle)) for handle in handles]
            self._past += found
        for one in found:
            if not self.lost:
                self._find(one)
                with suppress(Exception):  # it is dead already, or was never looked at
                    if one.process is None and one.alive and one.pid:
                        one.process = self._on(one.node, known, one.pid)
                with suppress(Exception):
                    ray.kill(one.handle)
        by_node: dict[str | None, list[Known]] = defaultdict(list)
        for one in found:
            if one.process is not None:
                by_node[one.node].append(one.process)
        for node, some in by_node.items():
            with suppress(Exception):  # a node that is gone has no processes
                self._on(node, end, some, 0.0 if self.lost else GRACE_S)

    def of(self, handle: Any) -> Watched:
        """What is known of an actor, which may be dead."""
        with self._lock:
            everybody = [*self._actors.values(), *self._past]
        found = next((one for one in everybody if one.handle._actor_id == handle._actor_id), Watched("", handle))
        if not self.lost:
            self._find(found)
        return found

    def pids(self) -> dict[str, int]:
        """Process ids by the name of the actor; of one that was replaced the last."""
        with self._lock:
            return {one.name: one.pid for one in (*self._past, *self._actors.values()) if one.pid}

    def frozen(self) -> list[str]:
        """Names of actors with a process that a signal has stopped."""
        with self._lock:
            return [one.name for one in self._actors.values() if one.frozen]

    def require(self) -> None:
        """Go on only with Ray.

        Raises:
            Lost: if Ray itself is lost.
        """
        if self.lost:
            raise Lost("Ray", self.lost)

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        if self._old_handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(INTERRUPT, self._old_handler)
            self._old_handler = None
        self._thread.join(LOOK_S)

    # --- looking ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        last, interval = time.monotonic(), min(LOOK_S, self.frozen_s / 4)
        while not self._closed.wait(min(PROMPT_S, interval)):
            now = time.monotonic()
            if now - last < interval and (self.lost or all(map(look, _ray_processes().values()))):
                continue
            seconds, last = min(now - last, 2 * LOOK_S), now  # more, and this process itself was frozen
            with suppress(Exception):  # what can't be asked now is asked at the next look
                self._look_at_ray(seconds)
                if not self.lost:
                    self._look(seconds)
            with suppress(Exception):
                self.each_look(self, seconds)
            if self.lost and self._old_handler is not None and not self._closed.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, INTERRUPT)

    def _raise(self, *_: object) -> None:
        if self.lost and not self._closed.is_set():
            raise KeyboardInterrupt(self.lost)  # Ray passes on no other error from within its own waits

    def _look_at_ray(self, seconds: float) -> None:
        """Notice that Ray's own processes are gone or frozen; Ray would end this process without a word."""
        import ray

        silent, processes = "", _ray_processes()
        frozen = [one for one in map(known, processes.values()) if one is not None and one.state() == STOPPED]
        for name, pid in processes.items():
            if look(pid) is None:
                self.lost = f"was lost: its {name} (pid {pid}) died"
                return
            if pid in {one.pid for one in frozen}:
                silent = f"its {name} (pid {pid}) was stopped by a signal"
        if not processes and not ray.util.client.ray.is_connected():
            host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_S).close()
            except OSError as error:
                silent = f"its first process at {host}:{port} can't be reached ({error})"
        self._silent_s = self._silent_s + seconds if silent else 0.0
        if self._silent_s >= (self.frozen_s if processes else ANSWER_S):
            self.lost = f"was lost: {silent} for {self._silent_s:.0f} s"
            for one in frozen:  # Ray's end would wait for them
                one.kill()

    def _look(self, seconds: float) -> None:
        with self._lock:
            actors = list(self._actors.values())
        by_node: dict[str, dict[int, Watched]] = defaultdict(dict)
        for one in actors:
            self._find(one)
            if one.pid and one.node and (one.alive or one.process):
                by_node[one.node][one.pid] = one
        for node, some in by_node.items():
            for pid, (process, frozen) in self._on(node, stopped, list(some)).items():
                self._note(some[pid], process, frozen, seconds)

    def _note(self, one: Watched, process: Known | None, frozen: list[Known], seconds: float) -> None:
        if one.process is None:
            one.process = process
        elif process != one.process:  # it died, and its pid is somebody else's
            return
        one.frozen = {each: one.frozen.get(each, -seconds) + seconds for each in frozen}
        over = [each for each, long in one.frozen.items() if long >= self.frozen_s]
        if over:
            if one.process in over:
                one.ended = f"was stopped by a signal for {one.frozen[one.process]:.0f} s and was ended"
            self._on(one.node, _kill, over)

    def _find(self, one: Watched) -> None:
        """Find the process of an actor that has come up."""
        from ray._private import state

        if not one.alive and self._local is not None:
            with suppress(Exception):
                found = state.actors(one.handle._actor_id.hex())
                one.pid, address, one.alive = found["Pid"] or None, found["Address"], found["State"] == "ALIVE"
                one.node, one.host = address["NodeID"] or None, address["IPAddress"] or None

    def _on(self, node: str | None, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function on a node."""
        if node == self._local or node is None:
            return function(*arguments)
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        task = ray.remote(function).options(num_cpus=0, scheduling_strategy=there, max_retries=0)
        return ray.get(task.remote(*arguments), timeout=ANSWER_S)


def _kill(some: list[Known]) -> None:
    for one in some:
        one.kill()


def _local_node() -> str | None:
    """The node of this process; None where Ray's client hides it, and so no process can be looked at."""
    import ray
    import ray.util.client

    return None if ray.util.client.ray.is_connected() else ray.get_runtime_context().get_node_id()


def _ray_processes() -> dict[str, int]:
    """Pids of the processes of a Ray that this process has started, without which it can't go on."""
    import ray

    node = ray._private.worker._global_node
    found = {} if node is None else node.all_processes
    return {name: found[name][0].process.pid for name in ("gcs_server", "raylet") if found.get(name)}
