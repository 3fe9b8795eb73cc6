"""Long work of an actor in short calls, so that a time limit bounds its silence and not its whole work."""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from cluster.health import Supervised
from cluster.waits import waiting
from rewards.registry import Weights
from rewards.verdict import Sample, Verdict
from rl.config.stages import SamplingConfig
from rl.samples import Completion

CALL_S = 5.0
"""A busy actor answers at least so often (seconds), with what it has finished."""
SUBMIT = 256
"""Most prompts that an actor is given in one call."""


def patience(timeout_s: float, longest_s: float = CALL_S) -> float:
    """The longest time that an actor may work before it answers (seconds), well within its time limit."""
    return min(longest_s, timeout_s / 4)


def complete(
    actor: Supervised,
    prompts: Sequence[list[int]],
    sampling: SamplingConfig,
    seed: int,
    timeout_s: float,
    samples: int = 1,
) -> Iterator[list[tuple[int, list[Completion]]]]:
    """Completions of prompts (token ids) by a rollout actor, in parts as they are finished.

    A part holds (place of a prompt, its ``samples`` completions), or nothing while none is finished. Equal weights,
    prompts and seed give equal completions, whether the actor is replaced meanwhile or not: the new one is asked again
    from the seed, or only for what is missing where sampling is greedy.

    Raises:
        Lost: if the actor was silent for ``timeout_s`` or died, more often than it may be replaced.
        TimeoutError: if a freshly made one was silent, too.
    """
    requests = [(str(number), ids) for number, ids in enumerate(prompts)]
    found: set[str] = set()
    restarts = None
    with ExitStack() as since_last:
        since_last.enter_context(waiting(actor.name, "collect"))
        while len(found) < len(requests):
            if actor.restarts != restarts:
                restarts = actor.restarts
                asked = [one for one in requests if one[0] not in found] if sampling.temperature == 0 else requests
                for start in range(0, len(asked), SUBMIT):
                    some, begin = asked[start : start + SUBMIT], seed if start == 0 else None
                    actor.call("submit", some, samples, sampling, begin, timeout_s=timeout_s)
            part = actor.call("collect", len(requests), patience(timeout_s), timeout_s=timeout_s)
            new = [(uid, completions) for uid, completions in part if uid not in found]
            found |= {uid for uid, _ in new}
            if new:
                since_last.close()
                since_last.enter_context(waiting(actor.name, "collect"))
            yield [(int(uid), completions) for uid, completions in new]


def counted(losses: Sequence[str]) -> list[str]:
    """What an actor says it has lost, equal losses once with their number."""
    return [why if times == 1 else f"{why}, {times} times" for why, times in Counter(losses).items()]


@dataclass(frozen=True)
class Limits:
    """How reward or judge actors are asked."""

    piece: int
    """Most samples of one call."""
    patience_s: float | None
    """The longest time that an actor may work before it answers with the verdicts that it has; None: until all are
    there."""
    timeout_s: float
    """Longest wait for an answer."""


class Panel:
    """Reward actors, or judges, that share samples."""

    def __init__(self, actors: Sequence[Supervised], limits: Limits) -> None:
        self.actors, self.limits = actors, limits
        # Parts are scored from several threads. An actor gets one call at a time, so that no limit includes a queue.
        self._turns = [threading.Lock() for _ in actors]

    def verdicts(self, samples: Sequence[Sample], weights: Weights) -> list[Verdict]:
        """Verdicts in the order of the samples; each actor gets an equal share."""
        size = max(1, math.ceil(len(samples) / len(self.actors)))
        shares = [samples[start : start + size] for start in range(0, len(samples), size)]
        with ThreadPoolExecutor(len(self.actors)) as pool:
            asked = [pool.submit(self._share, place, share, weights) for place, share in enumerate(shares)]
            return [verdict for share in asked for verdict in share.result()]

    def losses(self) -> Iterator[tuple[str, str]]:
        """(name of the actor, what it has lost and replaced by itself) since this was asked last. An actor that is
        working for another thread is not asked."""
        for place, actor in enumerate(self.actors):
            if self._turns[place].acquire(blocking=False):
                try:
                    found = actor.call("losses", timeout_s=self.limits.timeout_s)
                finally:
                    self._turns[place].release()
                yield from ((actor.name, why) for why in counted(found))

    def call(self, place: int, method: str, *arguments: object) -> object:
        """The result of a method of one of the actors."""
        with self._turns[place]:
            return self.actors[place].call(method, *arguments, timeout_s=self.limits.timeout_s)

    def _share(self, place: int, share: Sequence[Sample], weights: Weights) -> list[Verdict]:
        found: dict[int, Verdict] = {}
        waiting = deque(range(len(share)))
        while waiting:
            piece = [waiting.popleft() for _ in range(min(self.limits.piece, len(waiting)))]
            try:
                answer = self.call(place, "score", [share[i] for i in piece], weights, self.limits.patience_s)
            except TimeoutError as error:
                answer = [Verdict.failed(str(error)) for _ in piece]
            assert isinstance(answer, list)
            found |= {i: verdict for i, verdict in zip(piece, answer, strict=True) if verdict is not None}
            waiting.extendleft(i for i in reversed(piece) if i not in found)
        return [found[i] for i in range(len(share))]
