"""The stream of groups: prompts go in as capacity allows, scored groups come out as they complete.

One rule covers every mode. When ``v`` updates have been made, at most ``(v + 1 + staleness) * prompts_per_step``
prompts have been issued. With staleness 0 that is one step's prompts after every weight update: groups are scored and
trained on as they complete, all of them sampled by the weights they train. With a higher bound the engines go on across
updates, and a group is trained on at most so many updates after its first token.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from cluster.health import Supervised
from curricula.prompts import Prompt
from curricula.sampler import require_keys
from rl.config.stages import SamplingConfig
from rl.driver.calls import CALL_S, patience
from rl.samples import Completion, Group

PATIENCE_S = 0.2
"""With staleness, an engine answers at least so often, so that a weight update need not wait for a group to end."""


@dataclass(frozen=True)
class IssuedPrompt:
    """A prompt on its way."""

    index: int
    """Its number in the stage's stream of prompts."""
    uid: str
    prompt: Prompt
    prompt_ids: list[int]
    version: int
    """Updates that had been made when it was issued."""


Draw = Callable[[int, int], IssuedPrompt]
"""(index, version) -> the request of that prompt."""


@dataclass(frozen=True)
class StreamPlan:
    """What a stream is asked for."""

    prompts_per_step: int
    steps: int
    samples: int
    """Completions of one prompt."""
    sampling: SamplingConfig
    staleness: int
    parts: int
    """A step's groups come in about so many parts from each engine; only training on the last is not overlapped."""
    seed: int
    timeout_s: float


def stable_seed(*parts: object) -> int:
    """A 31-bit seed that depends on the parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


@dataclass
class RolloutWorker:
    """One rollout actor, and what the driver knows of it."""

    actor: Supervised
    issued: dict[str, IssuedPrompt] = field(default_factory=dict)
    """Requests given to it since it was last idle."""
    received: set[str] = field(default_factory=set)
    seed: int | None = None
    arrived: queue.Queue[Future[list[Group]] | BaseException] = field(default_factory=queue.Queue)
    has_work: threading.Event = field(default_factory=threading.Event)
    busy_s: float = 0.0
    restarts_seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def outstanding(self) -> list[IssuedPrompt]:
        """Requests without an answer."""
        with self.lock:
            return [request for uid, request in self.issued.items() if uid not in self.received]

    def add(self, requests: list[IssuedPrompt], seed: int) -> int | None:
        """Note new requests; returns the seed to begin from if the engine was idle."""
        idle = not self.outstanding
        with self.lock:
            if idle:
                self.issued, self.received, self.seed = {}, set(), seed
            self.issued |= {request.uid: request for request in requests}
        return seed if idle else None

    def receive(self, answer: list[tuple[str, list[Completion]]]) -> list[Group]:
        """Note an answer; returns the groups in it that are new."""
        with self.lock:
            fresh = [(uid, found) for uid, found in answer if uid in self.issued and uid not in self.received]
            self.received |= {uid for uid, _ in fresh}
            requests = [(self.issued[uid], found) for uid, found in fresh]
        return [Group(r.uid, r.prompt, r.prompt_ids, found, index=r.index) for r, found in requests]


class GroupStream:
    """Draws prompts, issues them to rollout actors, has their completions scored in the background, hands out groups.

    Which prompts are on their way is part of a checkpoint: none is trained on twice, and none is lost.
    """

    def __init__(
        self,
        actors: list[Supervised],
        draw: Draw,
        score: Callable[[list[Group]], list[Group]],
        plan: StreamPlan,
    ) -> None:
        """Start to collect; ``score`` is called from threads of its own."""
        self.engines = [RolloutWorker(actor, restarts_seen=actor.restarts) for actor in actors]
        self.draw, self.score, self.plan = draw, score, plan
        self.requests: dict[str, IssuedPrompt] = {}
        """On their way: drawn and not yet handed out, in the order of drawing."""
        self.drawn = self.extra = 0
        """Prompts drawn so far; those of them that came on top of what the capacity rule allows, in refills."""
        self._lost: list[int] = []
        self._ready: list[Group] = []
        self._turn = 0
        self._closing = False
        self._scorer = ThreadPoolExecutor(2 * len(actors))
        self._threads = [threading.Thread(target=self._collect, args=(e,), daemon=True) for e in self.engines]
        for thread in self._threads:
            thread.start()

    # --- in -------------------------------------------------------------------------------------------------------

    def fill(self, version: int) -> None:
        """Issue as many prompts as ``version`` updates allow, first those that were on their way at a checkpoint."""
        plan = self.plan
        capacity = min(version + 1 + plan.staleness, plan.steps) * plan.prompts_per_step + self.extra
        indices = self._lost + list(range(self.drawn, max(self.drawn, capacity)))
        self._lost, self.drawn = [], max(self.drawn, capacity)
        self._issue([self.draw(index, version) for index in indices], version)

    def refill(self, more: int, version: int) -> None:
        """Issue further prompts in place of groups that are not trained on."""
        self.extra += more
        self.fill(version)

    def _issue(self, requests: list[IssuedPrompt], version: int) -> None:
        """Give requests to the engines, in equal shares. Engines that were idle begin anew from a seed."""
        self.requests |= {request.uid: request for request in requests}
        order = sorted(range(len(self.engines)), key=lambda i: (len(self.engines[i].outstanding), i))
        self._turn = 0
        for place, number in enumerate(order):
            share, engine = requests[place :: len(order)], self.engines[number]
            if share:
                seed = stable_seed(self.plan.seed, version, self.drawn, number)
                self._send(engine, share, engine.add(share, seed))
                engine.has_work.set()

    def _send(self, engine: RolloutWorker, share: list[IssuedPrompt], seed: int | None) -> None:
        pairs = [(request.uid, request.prompt_ids) for request in share]
        plan = self.plan
        engine.actor.call("submit", pairs, plan.samples, plan.sampling, seed, timeout_s=plan.timeout_s)

    def state_dict(self) -> dict[str, Any]:
        """How many prompts were drawn, and which of them are on their way."""
        pending = [request.index for request in self.requests.values()]
        return {"drawn": self.drawn, "extra": self.extra, "pending": pending + self._lost}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; what was on its way is issued again by the next :meth:`fill`."""
        require_keys("stream", state, self.state_dict())
        self.drawn, self.extra, self._lost = state["drawn"], state["extra"], list(state["pending"])

    # --- collecting, one thread an engine ---------------------------------------------------------------------------

    def _collect(self, engine: RolloutWorker) -> None:
        try:
            while True:
                engine.has_work.wait()
                if self._closing:
                    return
                for part in self._parts(engine):
                    engine.arrived.put(self._scorer.submit(self.score, part))
        except BaseException as error:  # handed to whoever waits for groups
            engine.arrived.put(error)

    def _parts(self, engine: RolloutWorker) -> Iterator[list[Group]]:
        """Groups as they complete, until the engine has nothing left to do."""
        engine.has_work.clear()
        plan = self.plan
        while engine.outstanding and not self._closing:
            if engine.actor.restarts != engine.restarts_seen:
                self._issue_again(engine)
            at_least = 1 if plan.staleness else -(-len(engine.issued) // plan.parts)
            started = time.perf_counter()
            answer = self._part(engine, at_least)
            engine.busy_s += time.perf_counter() - started
            groups = engine.receive(answer)
            if groups:
                yield groups

    def _part(self, engine: RolloutWorker, at_least: int) -> list[tuple[str, list[Completion]]]:
        """What an engine finishes until that is ``at_least`` or all; nothing where it was lost, since it then begins
        again."""
        found: list[tuple[str, list[Completion]]] = []
        wait_s = patience(self.plan.timeout_s, PATIENCE_S if self.plan.staleness else CALL_S)
        while len(found) < at_least and not self._closing:
            if {request.uid for request in engine.outstanding} <= {uid for uid, _ in found}:
                break
            found += engine.actor.call("collect", at_least - len(found), wait_s, timeout_s=self.plan.timeout_s)
            if engine.actor.restarts != engine.restarts_seen:
                return []
        return found

    def _issue_again(self, engine: RolloutWorker) -> None:
        """A new actor has lost what the old one was doing. From the same requests and seed it answers as the old one
        would have; what came before is passed over. Mid-stream requests have no such beginning and just go again."""
        engine.restarts_seen = engine.actor.restarts
        share = engine.outstanding if self.plan.staleness else list(engine.issued.values())
        self._send(engine, share, None if self.plan.staleness else engine.seed)

    # --- out ------------------------------------------------------------------------------------------------------

    def take(self, wanted: int, version: int, phase: Callable[[str], Any]) -> Iterator[list[Group]]:
        """Parts of scored groups, ``wanted`` in all, as they complete.

        Groups that would be too stale at the next update come before others, so the bound on staleness is strict.

        Args:
            wanted: number of groups.
            version: updates made so far.
            phase: context of the time that the driver waits, for ``rollout`` or for ``reward``.
        """
        while wanted > 0:
            due = {uid for uid, request in self.requests.items() if request.version <= version - self.plan.staleness}
            picked = [group for group in self._ready if group.uid in due][:wanted]
            spare = max(0, wanted - len(due))
            picked += [group for group in self._ready if group.uid not in due][:spare]
            if not picked:
                with phase("rollout"):
                    part = self._next()
                with phase("reward"):
                    self._ready += part.result()
                continue
            for group in picked:
                del self.requests[group.uid]
            self._ready = [group for group in self._ready if group.uid in self.requests]
            wanted -= len(picked)
            yield picked

    def _next(self) -> Future[list[Group]]:
        """The next part. Engines are asked in turn, so that with staleness 0 the order does not depend on a clock."""
        awaited = self.requests.keys() - {group.uid for group in self._ready}
        if not awaited:
            raise RuntimeError("more groups were asked for than prompts were issued")
        impatient = self.plan.staleness > 0 and len(self.engines) > 1
        while True:
            engine = self.engines[self._turn]
            self._turn = (self._turn + 1) % len(self.engines)
            if awaited.isdisjoint(engine.issued):
                continue
            try:
                found = engine.arrived.get(timeout=0.01 if impatient else None)
            except queue.Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            return found

    @property
    def busy_s(self) -> float:
        """Seconds that the engines have worked so far, on average."""
        return sum(engine.busy_s for engine in self.engines) / len(self.engines)

    def close(self) -> None:
        """Stop collecting. What an engine has not finished it drops when it is next given requests."""
        self._closing = True
        for engine in self.engines:
            engine.has_work.set()
        self._scorer.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> GroupStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
