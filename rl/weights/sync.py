"""When weights move from the trainer to the rollout engines. How they move is in :mod:`rl.weights.transfer`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from cluster.health import Supervised
from rl.errors import UserError
from rl.weights.transfer import WeightUpdate

if TYPE_CHECKING:
    from rl.driver.fleet import Fleet


class WeightSync:
    """Keeps the rollout engines at the trainer's weights."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.version = 0
        """Version that was published last."""
        self._latest: WeightUpdate | None = None
        self._stale = True
        self._lock = threading.RLock()
        self._here = threading.local()

    def changed(self) -> None:
        """Say that the trainer's weights are newer than the rollout's."""
        self._stale = True

    def new_trainer(self) -> None:
        """Say that the trainer group was replaced."""
        self._stale, self._latest = True, None
        self.connect()

    def push(self) -> None:
        """Hand the trainer's weights to every rollout engine, if they have moved since the last time."""
        if not self._stale:
            return
        fleet = self.fleet
        with self._lock, _as_sentence():
            self.version += 1
            update = fleet.trainer.publish(self.version)
            fleet.wake()
            with ThreadPoolExecutor(len(fleet.rollouts) + 1) as pool:
                # Over NCCL sender and receivers meet inside one collective, so both sides run at once.
                sent = pool.submit(fleet.trainer.call, "send") if fleet.backend == "nccl" else None
                list(pool.map(lambda actor: self._hand_over(actor, update), fleet.rollouts))
                if sent is not None:
                    sent.result()
            self._latest, self._stale = update, False
            if self.version == 1 and "path" in update.info:
                self._say_place(Path(update.info["path"]))

    def _say_place(self, place: Path) -> None:
        if place != self.fleet.shared_file:
            print(f"{self.fleet.shared_file.parent} is too small for the weights; they go through {place.parent}")

    def _hand_over(self, actor: Supervised, update: WeightUpdate) -> None:
        self._here.pushing = True
        actor.call("sync", update, timeout_s=self.fleet.config.rollout.timeout_s)

    def restore(self, handle: Any) -> None:
        """Bring a rollout engine that was made anew to the weights that were published last."""
        if getattr(self._here, "pushing", False):  # lost in the middle of a push, which is then tried again
            return
        with self._lock, _as_sentence():
            if self.fleet.backend == "nccl":
                self.connect()
                self._stale = True
                self.push()
            elif self._latest is not None:
                ray.get(handle.sync.remote(self._latest), timeout=self.fleet.engine_start_s)

    def connect(self) -> None:
        """Where weights go over NCCL: join the first trainer rank and every rollout engine in one group."""
        fleet = self.fleet
        if fleet.backend != "nccl" or not fleet.rollouts:
            return
        address, port = ray.get(fleet.trainer.actors[0].rendezvous.remote())
        size = 1 + len(fleet.rollouts)
        joining = [actor.join_transfer.remote(address, port, size) for actor in fleet.trainer.actors]
        joining += [a.handle.join_transfer.remote(address, port, 1 + i, size) for i, a in enumerate(fleet.rollouts)]
        ray.get(joining, timeout=fleet.config.rollout.timeout_s)


@contextmanager
def _as_sentence() -> Iterator[None]:
    """Raise what a user can fix as the actor raised it, without Ray's traceback around it."""
    try:
        yield
    except UserError as error:
        raise getattr(error, "cause", error) from None
