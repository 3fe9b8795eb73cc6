"""When weights move from the trainer to the rollout engines. How they move is in :mod:`rl.weights.transfer`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any, Protocol

import ray

from cluster.errors import Away
from cluster.health import Supervised
from rl.errors import UserError
from rl.weights.checks import PARITY_TOLERANCE, WeightLedger
from rl.weights.relay import in_file
from rl.weights.transfer import WeightUpdate


class Sender(Protocol):
    """The ranks of the trainer."""

    actors: list[Any]
    """Ray handles, one a rank."""

    def publish(self, version: int) -> WeightUpdate:
        """Make the current weights available to the rollout engines."""
        ...

    def next_part(self) -> tuple[dict[str, Any], WeightLedger | None]:
        """The next part of published weights; after the last one nothing, and what was sent."""
        ...

    def call(self, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method on every rank and wait for all of them."""
        ...


class Ends(Protocol):
    """Where weights come from and go to; both ends may be replaced during a run."""

    @property
    def trainer(self) -> Sender: ...

    @property
    def rollouts(self) -> Sequence[Supervised]: ...

    def nodes(self) -> tuple[str, list[str]]:
        """The node of the first trainer rank, and that of each rollout engine."""
        ...

    def wake(self) -> None:
        """Give a shared GPU to the rollout engines."""
        ...


class WeightSync:
    """Keeps the rollout engines at the trainer's weights."""

    def __init__(self, ends: Ends, backend: str, shared_file: Path, sync_s: float, restart_s: float) -> None:
        """
        Args:
            ends: trainer and rollout engines.
            backend: how weights move (:meth:`rl.device.Device.transfer`).
            shared_file: where they lie on the way, for the backends that go through a file.
            sync_s: longest time that an engine may take to load them (seconds).
            restart_s: the same for an engine that has just been started again.
        """
        self.ends, self.backend, self.shared_file = ends, backend, shared_file
        self.sync_s, self.restart_s = sync_s, restart_s
        self.version = 0
        """Version that was published last."""
        self.tolerance = PARITY_TOLERANCE
        """Difference of log-probs in fp32 that rounding explains for the weights that were published last (nats)."""
        self._latest: dict[str, WeightUpdate] = {}
        """What was published last, as the engines of each node can take it."""
        self._joined: list[Any] = []
        """Handles of the engines that are in the group over NCCL; empty where there is none."""
        self._returned: list[Supervised] = []
        """Engines that get their weights by the next push, and are away until then."""
        self._stale = True
        self._lock = threading.RLock()
        self._here = threading.local()

    def changed(self) -> None:
        """Note that the trainer's weights are newer than the rollout's."""
        self._stale = True

    def new_trainer(self) -> None:
        """Note that the trainer group was replaced."""
        self._stale, self._latest = True, {}
        self.connect()

    def push(self) -> None:
        """Hand the trainer's weights to every rollout engine, if they have changed since the last time."""
        if not self._stale:
            return
        with self._lock, _as_sentence():
            while self._returned:
                self._returned.pop().away = False
            if self.backend == "ipc":
                while self._stale:
                    self._stale = not self._push_parts()
                return
            if self._joined and self._joined != self._handles():
                self.connect()
            trainer, there = self.ends.trainer, [not one.away for one in self.ends.rollouts]
            self.version += 1
            update = trainer.publish(self.version)
            if update.probe is not None:
                self.tolerance = update.probe.tolerance
            self.ends.wake()
            sender, everywhere = self.ends.nodes()
            rollouts = list(compress(self.ends.rollouts, there))
            nodes = list(compress(everywhere, there))
            latest = {sender: update}
            with ThreadPoolExecutor(len(rollouts) + 1) as pool:
                # Over NCCL sender and receivers meet inside one collective, so both sides run at once.
                sent = pool.submit(trainer.call, "send") if self.backend == "nccl" else None
                if in_file(update):
                    first = {node: actor for node, actor in zip(nodes, rollouts, strict=True) if node != sender}
                    fetched = zip(first, pool.map(lambda one: self._fetch(one, update), first.values()), strict=True)
                    latest |= {node: found for node, found in fetched if found is not None}
                list(pool.map(lambda actor, node: self._hand_over(actor, latest.get(node, update)), rollouts, nodes))
                if sent is not None:
                    sent.result()
            self._latest, self._stale = latest, False
            if self.version == 1 and "path" in update.info:
                self._say_place(Path(update.info["path"]))

    def _push_parts(self) -> bool:
        """Hand the weights over in parts, of which the trainer holds one at a time; False if an engine was lost on the
        way, whose successor has not got all of them."""
        trainer = self.ends.trainer
        self.version += 1
        self._here.pushing = True
        try:
            update = trainer.publish(self.version)
            self.ends.wake()
            rollouts = [one for one in self.ends.rollouts if not one.away]
            with ThreadPoolExecutor(max(1, len(rollouts))) as pool:

                def each(method: str, *arguments: Any) -> list[Any]:
                    return list(pool.map(lambda actor: self._ask(actor, method, *arguments), rollouts))

                each("begin", self.version)
                part, sent = trainer.next_part()
                while sent is None:
                    each("take", self.version, part)
                    part, sent = trainer.next_part()
                return all(one is not False for one in each("end", replace(update, sent=sent)))
        finally:
            self._here.pushing = False

    def _ask(self, actor: Supervised, method: str, *arguments: Any) -> Any:
        """What an engine answers; None if it is away: it gets the weights when it comes back."""
        self._here.pushing = True
        with suppress(Away):
            return actor.call(method, *arguments, timeout_s=self.sync_s)
        return None

    def _say_place(self, place: Path) -> None:
        if place != self.shared_file:
            print(f"{self.shared_file.parent} is too small for the weights; they go through {place.parent}")

    def _hand_over(self, actor: Supervised, update: WeightUpdate) -> None:
        self._ask(actor, "sync", update)

    def _fetch(self, actor: Supervised, update: WeightUpdate) -> WeightUpdate | None:
        """Have an engine on another node than the trainer copy the weights to its node."""
        sender = self.ends.trainer.actors[0]
        found: WeightUpdate | None = self._ask(actor, "fetch", sender, update, str(self.shared_file))
        return found

    def restore(self, handle: Any, number: int) -> None:
        """Bring the rollout engine of a number, which was started again, to the weights that were published last. One
        that was away is so no more when it has them."""
        if getattr(self._here, "pushing", False):  # lost in the middle of a push, which is then tried again
            return
        engine = self.ends.rollouts[number]
        with self._lock, _as_sentence():
            if engine.away and self.backend in ("nccl", "ipc"):
                self._returned.append(engine)
                self._stale = True
                return
            if self.backend == "nccl" or (self.backend == "ipc" and self.version):  # nothing of them is kept
                self.connect()
                self._stale = True
                self.push()
            elif self._latest:
                sender, nodes = self.ends.nodes()
                update = self._latest.get(nodes[number])
                if update is None:  # its node is new
                    asked = handle.fetch.remote(
                        self.ends.trainer.actors[0], self._latest[sender], str(self.shared_file)
                    )
                    update = self._latest[nodes[number]] = ray.get(asked, timeout=self.restart_s)
                ray.get(handle.sync.remote(update), timeout=self.restart_s)
            engine.away = False

    def connect(self) -> None:
        """Where weights go over NCCL: join the first trainer rank and every rollout engine in one group."""
        trainer, rollouts = self.ends.trainer, [one for one in self.ends.rollouts if not one.away]
        if self.backend != "nccl" or not rollouts:
            return
        self._joined = self._handles()
        address, port = ray.get(trainer.actors[0].transfer_place.remote())
        size = 1 + len(rollouts)
        joining = [actor.join_transfer.remote(address, port, size) for actor in trainer.actors]
        joining += [a.handle.join_transfer.remote(address, port, 1 + i, size) for i, a in enumerate(rollouts)]
        ray.get(joining, timeout=self.sync_s)

    def _handles(self) -> list[Any]:
        return [one.handle for one in self.ends.rollouts if not one.away]


@contextmanager
def _as_sentence() -> Iterator[None]:
    """Raise what a user can fix as the actor raised it, without Ray's traceback around it."""
    try:
        yield
    except UserError as error:
        raise getattr(error, "cause", error) from None
