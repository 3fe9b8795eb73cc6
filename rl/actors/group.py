"""All ranks of a training engine, called together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from cluster.health import cause_of_death
from cluster.waits import waiting
from cluster.watch import Watch
from rl.actors.trainer import TrainerActor, TrainerSpec, environment
from rl.config.algorithm import AlgorithmConfig
from rl.config.stages import OptimConfig
from rl.samples import TokenBatch
from rl.weights.checks import WeightLedger
from rl.weights.transfer import WeightUpdate

T = TypeVar("T")

OTHERS_S = 20.0
"""How long to look for a dead rank when a call has failed on another one (seconds)."""


class TrainerLost(Exception):
    """A trainer rank died or does not answer. The stage continues from its last checkpoint with a new group."""

    def __init__(self, who: str, why: str, handle: Any = None) -> None:
        super().__init__(f"{who} {why}")
        self.who, self.why, self.handle = who, why, handle
        """The rank or the group, what happened to it, and the rank's handle where it is known."""


class TrainerGroup:
    """All ranks of one engine: ``trainer/0``, ``trainer/1``, … or ``reference/0``, …"""

    def __init__(
        self,
        spec: TrainerSpec,
        role: str,
        options: Callable[[int], dict[str, Any]],
        timeout_s: float,
        watch: Watch | None = None,
    ) -> None:
        """Start the actors in the background; :meth:`setup` waits for them. ``watch`` ends those that are frozen."""
        self.role, self.timeout_s, self.watch = role, timeout_s, watch
        self.actors = [
            ray.remote(TrainerActor)
            .options(**{"name": f"{role}/{rank}", "runtime_env": {"env_vars": environment(spec)}, **options(rank)})
            .remote(replace(spec, rank=rank))
            for rank in range(spec.trainer.world_size)
        ]
        if watch is not None:
            for rank, actor in enumerate(self.actors):
                watch.add(f"{role}/{rank}", actor)

    def setup(self) -> float:
        """Connect the ranks and build the engine; returns the seconds of the slowest rank."""
        address, port = self._get([self.actors[0].rendezvous.remote()], "rendezvous")[0]
        return float(max(self.call("setup", address, port)))

    def call(self, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method on every rank and wait for all of them.

        Raises:
            TrainerLost: if a rank died or did not answer in time. An exception inside a rank is raised unchanged.
        """
        return self._get([getattr(actor, method).remote(*args, **kwargs) for actor in self.actors], method)

    def _get(self, references: list[Any], method: str) -> list[Any]:
        try:
            with waiting.call(self.role, method):
                return list(ray.get(references, timeout=self.timeout_s))
        except RayActorError as error:
            raise self._lost(error) from error
        except GetTimeoutError as error:
            raise TrainerLost(self.role, f"did not finish {method} within {self.timeout_s:.0f} s") from error
        except RayTaskError as error:  # where a rank dies, others may fail first, in what they do together
            death = self._death(references)
            if death is None:
                raise
            raise self._lost(death) from error

    def _death(self, references: list[Any]) -> RayActorError | None:
        """How one of the ranks that were called has died, if one has.

        The others may not all answer: one can wait for a rank that lives and has failed.
        """
        until, waiting_for = time.monotonic() + OTHERS_S, list(references)
        while waiting_for and (answered := _next(waiting_for, until - time.monotonic())) is not None:
            waiting_for.remove(answered)
            try:
                ray.get(answered)
            except RayActorError as error:
                return error
            except Exception:
                continue
        return None

    def _lost(self, error: RayActorError) -> TrainerLost:
        if self.watch is not None:
            self.watch.require()
        rank = next((i for i, one in enumerate(self.actors) if one._actor_id.hex() == error.actor_id), None)
        handle = None if rank is None else self.actors[rank]
        who = self.role if rank is None else f"{self.role}/{rank}"
        ended = self.watch.of(handle).ended if self.watch and handle else ""
        return TrainerLost(who, ended or cause_of_death(error), handle)

    def begin_stage(self, optim: OptimConfig, total_updates: int) -> None:
        """Start a new optimizer and schedule on every rank."""
        self.call("begin_stage", optim, total_updates)

    def update(
        self,
        batch: TokenBatch,
        algorithm: AlgorithmConfig | None,
        *,
        max_tokens_per_microbatch: int,
        max_completion_tokens: int = 0,
        rows: list[int] | None = None,
    ) -> dict[str, float]:
        """One optimizer update over the batch, or some of its rows; returns metrics over all ranks."""
        answers = self.call(
            "update",
            ray.put(batch),
            algorithm,
            max_tokens_per_microbatch=max_tokens_per_microbatch,
            max_completion_tokens=max_completion_tokens,
            rows=rows,
        )
        return _first(answers)

    def accumulate(
        self,
        batch: TokenBatch,
        algorithm: AlgorithmConfig | None,
        *,
        max_tokens_per_microbatch: int,
        max_completion_tokens: int = 0,
    ) -> None:
        """Add the gradient of a part of a batch (see :meth:`TrainerActor.accumulate`)."""
        self.call(
            "accumulate",
            ray.put(batch),
            algorithm,
            max_tokens_per_microbatch=max_tokens_per_microbatch,
            max_completion_tokens=max_completion_tokens,
        )

    def step(self) -> dict[str, float]:
        """The optimizer update from everything accumulated; returns metrics over all ranks."""
        return _first(self.call("step"))

    def log_probs(self, batch: TokenBatch, *, max_tokens_per_microbatch: int, adapter: bool = True) -> np.ndarray:
        """Log-probs of the batch (float32 [T], target-aligned)."""
        answers = self.call(
            "log_probs", ray.put(batch), max_tokens_per_microbatch=max_tokens_per_microbatch, adapter=adapter
        )
        flat = np.zeros(len(batch.input_ids), dtype=np.float32)
        for rows, values in answers:
            for row in rows:  # a rank can have none: of a small batch, or in a model-parallel group
                start, end = batch.offsets[row], batch.offsets[row + 1]
                flat[start:end], values = values[: end - start], values[end - start :]
        return flat

    def publish(self, version: int) -> WeightUpdate:
        """Make the current weights available to rollout engines."""
        updates, probes = zip(*self.call("publish", version), strict=True)
        return replace(_first(updates), probe=_first(probes))

    def next_part(self) -> tuple[dict[str, Any], WeightLedger | None]:
        """See :meth:`TrainerActor.next_part`."""
        found: tuple[dict[str, Any], WeightLedger | None] = self.call("next_part")[0]
        return found

    def stop(self) -> None:
        """End the actors."""
        if self.watch is not None:
            self.watch.end(*self.actors)
            return
        for actor in self.actors:
            ray.kill(actor)


def _next(references: list[Any], seconds: float) -> Any | None:
    """One that is there, or comes in time."""
    ready, _ = ray.wait(references, num_returns=1, timeout=max(0.0, seconds))
    return ready[0] if ready else None


def _first(answers: Iterable[T | None]) -> T:
    """The answer of the first rank that has one."""
    return next(answer for answer in answers if answer is not None)
