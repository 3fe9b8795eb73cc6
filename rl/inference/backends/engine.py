"""vLLM engines on Ray: data parallel (several engines) and tensor parallel (several devices per engine)."""

from __future__ import annotations

import datetime
import sys
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.errors import Lost
from cluster.health import Supervised
from cluster.placement import reserve
from cluster.watch import FROZEN_S, Watch
from rl.actors.inference import InferenceActor, Request
from rl.actors.vllm_engine import EngineSpec, environment
from rl.config.schema import ModelConfig, RolloutConfig
from rl.device import chosen
from rl.errors import UserError
from rl.inference.backend import Answer, Ask, Messages, RefusedAnswer
from rl.inference.backends.conversation import Chat, longest, require_model
from rl.inference.backends.merged import merged
from rl.seeds import stable_seed

CALL_S = 1.0
"""Longest time between two hand-overs of finished requests (seconds)."""
MAX_RESTARTS = 3


@dataclass(frozen=True)
class EngineSettings:
    """How the engines are built."""

    model: str
    """Folder or hub name."""
    max_length: int | None = None
    """Longest prompt and completion together (tokens); None takes the model's own, or what the key-value cache of an
    engine holds if that is less."""
    data_parallel: int = 1
    """Number of engines."""
    tensor_parallel: int = 1
    """Devices of each engine."""
    threads: int = 1
    """Threads of each engine on a CPU."""
    max_num_seqs: int = 256
    """Sequences that each engine decodes together."""
    kv_cache_gb: int = 1
    """Key-value cache of each engine on a CPU (GiB)."""
    gpu_memory_utilization: float = 0.9
    """Share of a GPU's memory that each engine may take."""
    enforce_eager: bool = False
    """Skip compilation; on a CPU it is always skipped."""
    trust_remote_code: bool = False
    chat_template_kwargs: Mapping[str, Any] | None = None
    """Variables of the chat template."""
    date: datetime.date | None = None
    """The chat template's date of today; None is the real one."""
    keep_refusals: bool = False
    """Answer a prompt that is too long with a RefusedAnswer, as a server refuses it, instead of failing."""
    start_timeout_s: float = 1800.0
    timeout_s: float = 600.0
    """Longest time that an engine may be silent (seconds)."""


class EngineBackend:
    """Answers with vLLM engines in Ray actors. A greedy answer depends on the engine and on the rest of its batch only
    by rounding. Each sampled request has its own seed."""

    def __init__(self, settings: EngineSettings, device: str = "auto") -> None:
        """Start the engines on the Ray that this process is connected to, and wait until they are ready.

        Raises:
            UserError: if the model can't be loaded.
            ClusterError: if the devices are not available.
        """
        import ray

        require_model(settings.model)
        self.settings = settings
        self.device = chosen(device, ray.cluster_resources().get("GPU", 0))
        self.chat = Chat(settings.model, settings.trust_remote_code, settings.chat_template_kwargs, settings.date)
        self.stops = self.chat.stops()
        self.max_length = longest(settings.model, settings.trust_remote_code, settings.max_length)
        spec = EngineSpec(
            ModelConfig(path=settings.model, max_length=self.max_length, trust_remote_code=settings.trust_remote_code),
            RolloutConfig(
                threads=settings.threads,
                max_num_seqs=settings.max_num_seqs,
                kv_cache_gb=settings.kv_cache_gb,
                gpu_memory_utilization=settings.gpu_memory_utilization,
                enforce_eager=settings.enforce_eager or not self.device.compiles,
            ),
            settings.model,
            self.device.name,
            0,
        )
        count, width = settings.data_parallel, settings.tensor_parallel
        self.placement = reserve([self.device.bundle(width)] * count, 120)
        self.actors: list[Supervised] = []
        self.watch = Watch(FROZEN_S)
        try:
            self.actors = [self._actor(number, spec, width) for number in range(count)]
            for actor in self.actors:
                actor.call("ready", timeout_s=settings.start_timeout_s)
            lengths = [actor.call("max_length", timeout_s=settings.timeout_s) for actor in self.actors]
            self.max_length = min(self.max_length, *lengths)
        except RuntimeError as error:
            self.close()
            raise UserError(f"an engine for {settings.model} did not start: {error}") from None
        except BaseException:
            self.close()
            raise

    def _actor(self, number: int, spec: EngineSpec, width: int) -> Supervised:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        options = {
            **self.device.request(1, width),
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                self.placement, placement_group_bundle_index=number
            ),
            "runtime_env": {"env_vars": environment(spec)},
        }
        return Supervised(
            f"engine/{uuid.uuid4().hex[:8]}/{number}",
            InferenceActor,
            (spec, width, self.settings.max_length is None),
            options,
            MAX_RESTARTS,
            watch=self.watch,
            tell=lambda name, why, handle: print(f"{name} {why}; replaced, and asked again", file=sys.stderr),
        )

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """Complete all, longest prompts first. Each engine takes requests from one common queue when it has room."""
        by_key = {ask.key: ask for ask in asks}
        fitting = [request for ask in asks if (request := self._request(ask, done))]
        waiting = deque(sorted(fitting, key=lambda r: len(r.prompt), reverse=True))
        prompts = {request.key: request.prompt for request in waiting}
        try:
            for found in merged([self._parts(actor, waiting) for actor in self.actors]):
                for key, pairs in found:
                    done(by_key[key], [self.chat.answer(prompts[key], ids, cut) for ids, cut in pairs])
        except (Lost, KeyboardInterrupt) as problem:
            if isinstance(problem, KeyboardInterrupt) and not self.watch.lost:
                raise
            why = f"Ray {self.watch.lost}" if self.watch.lost else str(problem)
            raise UserError(f"{why}; the same command goes on from what was saved") from problem

    def _request(self, ask: Ask, done: Callable[[Ask, list[Answer]], None]) -> Request | None:
        prompt = self.chat.encode(ask.messages)
        room = self.max_length - len(prompt)
        if room < 1:
            why = f"{len(prompt)} tokens, and the model takes {self.max_length} with the answer"
            if not self.settings.keep_refusals:
                fix = "raise --max-length or omit it" if self.settings.max_length else "shorten it"
                raise UserError(f"{ask.key} has {why}; {fix}")
            done(ask, [RefusedAnswer("", refused=f"the prompt has {why}")] * ask.samples)
            return None
        seed = stable_seed(ask.seed, ask.key)
        limit = min(ask.max_tokens, room)
        return Request(ask.key, prompt, ask.samples, ask.temperature, ask.top_p, limit, seed, self.stops)

    def _parts(self, actor: Supervised, waiting: deque[Request]) -> Iterator[list[tuple[str, list[Any]]]]:
        """What one engine finishes, part by part: it is kept busy until nothing waits. A lost engine is replaced and
        gets its requests again."""
        running: dict[str, Request] = {}
        restarts = actor.restarts
        # Enough requests wait in the engine to keep it busy during a hand-over, and enough here for the other engines.
        width = self.settings.max_num_seqs
        room = max(width, min(4 * width, len(waiting) // (2 * len(self.actors))))
        try:
            while True:
                new = []
                while waiting and sum(request.samples for request in running.values()) < room:
                    try:
                        request = waiting.popleft()
                    except IndexError:  # another engine was faster
                        break
                    running[request.key] = request
                    new.append(request)
                if not running:
                    break
                at_least = max(1, min(len(running), width // 2))
                timeout_s = self.settings.timeout_s
                found = actor.call("advance", new, at_least, CALL_S, timeout_s=timeout_s)
                if actor.restarts != restarts:  # the new engine got only the last requests
                    restarts = actor.restarts
                    actor.call("advance", list(running.values()), 0, 0.0, timeout_s=timeout_s)
                yield [(key, pairs) for key, pairs in found if running.pop(key, None) is not None]
        except Exception as problem:
            raise UserError(f"an engine failed: {problem}") from problem

    def count_tokens(self, messages: Messages) -> int:
        """Tokens of the prompt."""
        return len(self.chat.encode(messages))

    def close(self) -> None:
        """Stop the engines."""
        import ray

        self.watch.close()
        for actor in self.actors:
            actor.stop()
        if not self.watch.lost:
            ray.util.remove_placement_group(self.placement)
