"""The stream of groups: prompts go in as capacity allows, scored groups come out when they are complete.

One rule covers every mode. When ``v`` updates have been made, at most ``(v + 1 + staleness) * prompts_per_step``
prompts have been issued. With staleness 0 that is one step's prompts after every weight update: groups are scored and
trained on as they complete, and all of them come from the current weights. With a higher bound the engines sample on
during updates, and a group is trained on at most so many updates after its first token.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import Away
from cluster.health import Supervised
from cluster.waits import waiting
from curricula.prompts import Prompt
from curricula.sampler import require_keys
from rl.config.stages import SamplingConfig
from rl.driver.calls import CALL_S, patience
from rl.samples import Completion, Group
from rl.seeds import stable_seed

RETURN_S = 1.0
"""How often it is looked whether an engine has come back, where none is left (seconds)."""
PATIENCE_S = 0.2
"""With staleness a rollout actor answers at least so often, so that no weight update waits for a group to end."""


@dataclass(frozen=True)
class IssuedPrompt:
    """A prompt that is being sampled."""

    index: int
    """Its number in the prompts of the stage."""
    uid: str
    prompt: Prompt
    prompt_ids: list[int]
    version: int
    """Number of updates made before it was issued."""


Draw = Callable[[int, int], IssuedPrompt]
"""(index, version) -> the prompt of that number, issued after ``version`` updates."""


@dataclass(frozen=True)
class StreamPlan:
    """What a stream has to deliver."""

    prompts_per_step: int
    steps: int
    samples: int
    """Completions of one prompt."""
    sampling: SamplingConfig
    staleness: int
    parts: int
    """A step's groups come in about so many parts from each worker; only training on the last is not overlapped."""
    seed: int
    timeout_s: float


@dataclass
class RolloutWorker:
    """One rollout actor, and what the driver knows of it."""

    actor: Supervised
    issued: dict[str, IssuedPrompt] = field(default_factory=dict)
    """Prompts given to it since it was last idle, by uid."""
    received: set[str] = field(default_factory=set)
    """Uids of those that it has answered."""
    seed: int | None = None
    arrived: queue.Queue[Future[list[Group]] | BaseException | None] = field(default_factory=queue.Queue)
    """Parts that are being scored; an error; None where what was awaited of it is done by others."""
    has_work: threading.Event = field(default_factory=threading.Event)
    busy_s: float = 0.0
    restarts_seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def outstanding(self) -> list[IssuedPrompt]:
        """Prompts without an answer."""
        with self.lock:
            return [prompt for uid, prompt in self.issued.items() if uid not in self.received]

    def add(self, prompts: list[IssuedPrompt], seed: int) -> int | None:
        """Note new prompts; returns the seed to begin from if the actor was idle."""
        idle = not self.outstanding
        with self.lock:
            if idle:
                self.issued, self.received, self.seed = {}, set(), seed
            self.issued |= {prompt.uid: prompt for prompt in prompts}
        return seed if idle else None

    def give_up(self) -> list[IssuedPrompt]:
        """Take its prompts without an answer from it; who awaits them is woken."""
        given = self.outstanding
        with self.lock:
            for prompt in given:
                del self.issued[prompt.uid]
        self.arrived.put(None)
        return given

    def receive(self, answer: list[tuple[str, list[Completion]]]) -> list[Group]:
        """Note an answer; returns the groups in it that are new."""
        with self.lock:
            fresh = [(uid, found) for uid, found in answer if uid in self.issued and uid not in self.received]
            self.received |= {uid for uid, _ in fresh}
            answered = [(self.issued[uid], found) for uid, found in fresh]
        return [Group(p.uid, p.prompt, p.prompt_ids, found, index=p.index) for p, found in answered]


class GroupStream:
    """Draws prompts, issues them to rollout actors, has their completions scored in the background, hands out groups.

    A checkpoint holds which prompts are pending, so that none is trained on twice and none is lost.
    """

    def __init__(
        self,
        actors: list[Supervised],
        draw: Draw,
        score: Callable[[list[Group]], list[Group]],
        plan: StreamPlan,
    ) -> None:
        """Start to collect; ``score`` is called from several threads."""
        self.workers = [RolloutWorker(actor, restarts_seen=actor.restarts) for actor in actors]
        self.draw, self.score, self.plan = draw, score, plan
        self.pending: dict[str, IssuedPrompt] = {}
        """Prompts drawn and not yet handed out as groups, by uid, in the order of drawing."""
        self.drawn = self.extra = 0
        """Prompts drawn so far; those of them that came on top of what the capacity rule allows, in refills."""
        self._lost: list[int] = []
        self._ready: list[Group] = []
        self._turn = 0
        self._closing = False
        self._issuing = threading.RLock()
        self._scorer = ThreadPoolExecutor(2 * len(actors))
        self._threads = [threading.Thread(target=self._collect, args=(w,), daemon=True) for w in self.workers]
        for thread in self._threads:
            thread.start()

    # --- in -------------------------------------------------------------------------------------------------------

    def fill(self, version: int) -> None:
        """Issue as many prompts as ``version`` updates allow, first those that were pending at a checkpoint."""
        plan = self.plan
        capacity = min(version + 1 + plan.staleness, plan.steps) * plan.prompts_per_step + self.extra
        indices = self._lost + list(range(self.drawn, max(self.drawn, capacity)))
        self._lost, self.drawn = [], max(self.drawn, capacity)
        self._issue([self.draw(index, version) for index in indices], version)

    def refill(self, more: int, version: int) -> None:
        """Issue further prompts in place of groups that are not trained on."""
        self.extra += more
        self.fill(version)

    def _issue(self, prompts: list[IssuedPrompt], version: int) -> None:
        """Give prompts to the workers, in equal shares. Workers that were idle start again from a seed."""
        self.pending |= {prompt.uid: prompt for prompt in prompts}
        self._turn = 0
        self._deal(prompts, version)

    def _deal(self, prompts: list[IssuedPrompt], version: int) -> None:
        """Give prompts to the workers that are there; what one that goes away has not taken, to the others."""
        with self._issuing:
            while prompts and not self._closing:
                there = [number for number, worker in enumerate(self.workers) if not worker.actor.away]
                order = sorted(there, key=lambda number: (len(self.workers[number].outstanding), number))
                left: list[IssuedPrompt] = []
                for place, number in enumerate(order):
                    share, worker = prompts[place :: len(order)], self.workers[number]
                    if share:
                        seed = stable_seed(self.plan.seed, version, self.drawn, number)
                        try:
                            self._send(worker, share, worker.add(share, seed))
                        except Away:
                            left += worker.give_up()
                        worker.has_work.set()
                if not order:
                    time.sleep(RETURN_S)
                    continue
                prompts = left

    def _send(self, worker: RolloutWorker, share: list[IssuedPrompt], seed: int | None) -> None:
        requests = [(prompt.uid, prompt.prompt_ids) for prompt in share]
        plan = self.plan
        worker.actor.call("submit", requests, plan.samples, plan.sampling, seed, timeout_s=plan.timeout_s)

    def state_dict(self) -> dict[str, Any]:
        """How many prompts were drawn, and which of them are pending."""
        pending = [prompt.index for prompt in self.pending.values()]
        return {"drawn": self.drawn, "extra": self.extra, "pending": pending + self._lost}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; what was pending is issued again by the next :meth:`fill`."""
        require_keys("stream", state, self.state_dict())
        self.drawn, self.extra, self._lost = state["drawn"], state["extra"], list(state["pending"])

    # --- collecting, one thread for each worker -----------------------------------------------------------------------

    def _collect(self, worker: RolloutWorker) -> None:
        try:
            while True:
                worker.has_work.wait()
                if self._closing:
                    return
                try:
                    for part in self._parts(worker):
                        worker.arrived.put(self._scorer.submit(self.score, part))
                except Away:
                    self._deal(given := worker.give_up(), max((one.version for one in given), default=0))
        except BaseException as error:  # raised where the groups are awaited
            worker.arrived.put(error)

    def _parts(self, worker: RolloutWorker) -> Iterator[list[Group]]:
        """Groups as they complete, until the worker has nothing left to do."""
        worker.has_work.clear()
        plan = self.plan
        while worker.outstanding and not self._closing:
            if worker.actor.restarts != worker.restarts_seen:
                self._issue_again(worker)
            at_least = 1 if plan.staleness else -(-len(worker.issued) // plan.parts)
            started = time.perf_counter()
            answer = self._part(worker, at_least)
            worker.busy_s += time.perf_counter() - started
            groups = worker.receive(answer)
            if groups:
                yield groups

    def _part(self, worker: RolloutWorker, at_least: int) -> list[tuple[str, list[Completion]]]:
        """The next ``at_least`` answers of a worker, or all that are left; none if its actor was lost and started
        again."""
        found: list[tuple[str, list[Completion]]] = []
        wait_s = patience(self.plan.timeout_s, PATIENCE_S if self.plan.staleness else CALL_S)
        while len(found) < at_least and not self._closing:
            if {prompt.uid for prompt in worker.outstanding} <= {uid for uid, _ in found}:
                break
            found += worker.actor.call("collect", at_least - len(found), wait_s, timeout_s=self.plan.timeout_s)
            if worker.actor.restarts != worker.restarts_seen:
                return []
        return found

    def _issue_again(self, worker: RolloutWorker) -> None:
        """Give a new actor what the lost one was doing.

        Without staleness it gets the same prompts and seed, so it answers as the lost one would have; what had already
        come is skipped. With staleness prompts came at any time, so only the unanswered ones are sent again.
        """
        worker.restarts_seen = worker.actor.restarts
        share = worker.outstanding if self.plan.staleness else list(worker.issued.values())
        self._send(worker, share, None if self.plan.staleness else worker.seed)

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
            due = {uid for uid, prompt in self.pending.items() if prompt.version <= version - self.plan.staleness}
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
                del self.pending[group.uid]
            self._ready = [group for group in self._ready if group.uid in self.pending]
            wanted -= len(picked)
            yield picked

    def _next(self) -> Future[list[Group]]:
        """The next part. Workers are asked in turn, so that with staleness 0 the order does not depend on a clock."""
        awaited = self.pending.keys() - {group.uid for group in self._ready}
        if not awaited:
            raise RuntimeError("more groups were asked for than prompts were issued")
        asked = [worker.actor.name for worker in self.workers if not awaited.isdisjoint(worker.issued)]
        with waiting(" and ".join(asked), "collect"):
            return self._first(awaited)

    def _first(self, awaited: Set[str]) -> Future[list[Group]]:
        """The first part that a worker has of the awaited groups."""
        impatient = self.plan.staleness > 0 and len(self.workers) > 1
        while True:
            if all(awaited.isdisjoint(worker.issued) for worker in self.workers):
                time.sleep(0.01)  # those of a worker that has gone away, which are not dealt yet
            worker = self.workers[self._turn]
            self._turn = (self._turn + 1) % len(self.workers)
            if awaited.isdisjoint(worker.issued):
                continue
            try:
                found = worker.arrived.get(timeout=0.01 if impatient else None)
            except queue.Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            if found is not None:
                return found

    @property
    def busy_s(self) -> float:
        """Seconds that the workers have been busy so far, on average."""
        return sum(worker.busy_s for worker in self.workers) / len(self.workers)

    def close(self) -> None:
        """Stop collecting. What an actor has not finished it drops when it is next given prompts."""
        self._closing = True
        for worker in self.workers:
            worker.has_work.set()
        self._scorer.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> GroupStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
