"""vLLM engines on Ray: data parallel (several engines) and tensor parallel (several devices an engine)."""

from __future__ import annotations

import datetime
import os
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.health import Supervised
from cluster.placement import reserve
from rl.actors import rollout
from rl.actors.rollout import RolloutSpec
from rl.config.schema import ModelConfig, RolloutConfig
from rl.driver.stream import stable_seed
from rl.errors import UserError
from rl.inference.backend import Answer, Ask, Messages
from rl.inference.backends.conversation import Chat, longest, require_model

CALL_S = 1.0
"""An engine hands over what it has finished at least so often."""
MAX_RESTARTS = 3


@dataclass(frozen=True)
class EngineSettings:
    """How engines are built."""

    model: str
    """Folder or hub name."""
    max_length: int | None = None
    """Longest prompt and completion together (tokens); None takes the model's own."""
    data_parallel: int = 1
    """Engines."""
    tensor_parallel: int = 1
    """Devices of one engine."""
    threads: int = 1
    """Threads of one engine on a CPU."""
    max_num_seqs: int = 256
    """Sequences that one engine works on at once."""
    kv_cache_gb: int = 1
    """Key-value cache of one engine on a CPU (GiB)."""
    gpu_memory_utilization: float = 0.9
    """Share of a GPU's memory that one engine may take."""
    enforce_eager: bool = False
    """Do without compiled graphs; always so on a CPU."""
    trust_remote_code: bool = False
    chat_template_kwargs: Mapping[str, Any] | None = None
    """Variables of the chat template."""
    date: datetime.date | None = None
    """What the chat template takes for today; None is today."""
    start_timeout_s: float = 1800.0
    timeout_s: float = 600.0
    """Longest time without any answer of an engine."""


@dataclass(frozen=True)
class Request:
    """A conversation on its way to an engine."""

    key: str
    prompt: list[int]
    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    stops: list[int]
    """Token ids that end a completion."""


class EngineActor:
    """One vLLM engine in this process: token ids in, token ids out."""

    def __init__(self, spec: RolloutSpec, tensor_parallel: int) -> None:
        os.environ.update(rollout.environment(spec))
        from vllm import LLM

        on_gpu = spec.device != "cpu"
        extra: dict[str, Any] = {"gpu_memory_utilization": spec.rollout.gpu_memory_utilization} if on_gpu else {
            # A generator of a request's own, which sampling that can be repeated needs, can't be wound back on a CPU
            # when its prompt is prefilled in chunks.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(spec.model.max_length, 2048),
        }  # fmt: skip
        if tensor_parallel > 1:
            extra |= {"tensor_parallel_size": tensor_parallel, "distributed_executor_backend": "mp"}
        self.llm = LLM(
            model=spec.path,
            dtype="bfloat16" if on_gpu else "float32",
            seed=spec.seed,
            max_model_len=spec.model.max_length,
            max_num_seqs=spec.rollout.max_num_seqs,
            enforce_eager=spec.rollout.enforce_eager,
            trust_remote_code=spec.model.trust_remote_code,
            **extra,
        )
        self.running: set[str] = set()

    def ready(self) -> int:
        """Process id, once the engine is up."""
        return os.getpid()

    def advance(
        self, requests: Sequence[Request], at_least: int, patience_s: float
    ) -> list[tuple[str, list[tuple[list[int], bool]]]]:
        """Take up requests, then run the engine until ``at_least`` have finished, none is left or time is up.

        Returns:
            (key, a pair of token ids and whether they end at the longest length for each sample).
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        for request in requests:
            if request.key in self.running:  # sent again, because its sender can't tell whether it arrived
                continue
            greedy = request.temperature == 0
            params = SamplingParams(
                n=request.samples,
                temperature=request.temperature,
                top_p=1.0 if greedy else request.top_p,
                max_tokens=request.max_tokens,
                seed=None if greedy else request.seed,
                stop_token_ids=request.stops,
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            self.llm.llm_engine.add_request(request.key, {"prompt_token_ids": request.prompt}, params)
            self.running.add(request.key)
        found: list[tuple[str, list[tuple[list[int], bool]]]] = []
        deadline = time.monotonic() + patience_s
        while self.running and len(found) < at_least and time.monotonic() < deadline:
            for output in self.llm.llm_engine.step():
                if output.finished:
                    self.running.discard(output.request_id)
                    pairs = [(list(one.token_ids), one.finish_reason == "length") for one in output.outputs]
                    found.append((output.request_id, pairs))
        return found


class EngineBackend:
    """Answers by vLLM engines in Ray actors. Which engine answers, and beside what, does not change a greedy answer but
    for rounding; sampled ones have a seed of their own each."""

    def __init__(self, settings: EngineSettings, device: str | None = None) -> None:
        """Start the engines on the Ray that this process is connected to, and wait until they are up.

        Raises:
            UserError: if the model can't be loaded.
            ClusterError: if the devices can't be had.
        """
        import ray

        require_model(settings.model)
        self.settings = settings
        self.device = device or ("cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu")
        self.chat = Chat(settings.model, settings.trust_remote_code, settings.chat_template_kwargs, settings.date)
        self.stops = self.chat.stops()
        self.max_length = longest(settings.model, settings.trust_remote_code, settings.max_length)
        spec = RolloutSpec(
            ModelConfig(path=settings.model, max_length=self.max_length, trust_remote_code=settings.trust_remote_code),
            RolloutConfig(
                threads=settings.threads,
                max_num_seqs=settings.max_num_seqs,
                kv_cache_gb=settings.kv_cache_gb,
                gpu_memory_utilization=settings.gpu_memory_utilization,
                enforce_eager=settings.enforce_eager or self.device == "cpu",
            ),
            settings.model,
            self.device,
            0,
            "",
        )
        count, width = settings.data_parallel, settings.tensor_parallel
        bundle = {"GPU": float(width), "CPU": 1.0} if self.device == "cuda" else {"CPU": 1.0}
        self.placement = reserve([bundle] * count, 120)
        self.actors: list[Supervised] = []
        try:
            self.actors = [self._actor(number, spec, width) for number in range(count)]
            for actor in self.actors:
                actor.call("ready", timeout_s=settings.start_timeout_s)
        except RuntimeError as error:
            self.close()
            raise UserError(f"an engine for {settings.model} did not start: {error}") from None
        except BaseException:
            self.close()
            raise

    def _actor(self, number: int, spec: RolloutSpec, width: int) -> Supervised:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        options = {
            "num_cpus": 1,
            "num_gpus": float(width) if self.device == "cuda" else 0,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                self.placement, placement_group_bundle_index=number
            ),
            "runtime_env": {"env_vars": rollout.environment(spec)},
        }
        return Supervised(f"engine/{uuid.uuid4().hex[:8]}/{number}", EngineActor, (spec, width), options, MAX_RESTARTS)

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """Complete all, longest prompts first; each engine takes its next requests from one queue as it has room."""
        by_key = {ask.key: ask for ask in asks}
        waiting = deque(sorted((self._request(ask) for ask in asks), key=lambda r: len(r.prompt), reverse=True))
        prompts = {request.key: request.prompt for request in waiting}
        arrived: queue.Queue[list[tuple[str, list[Any]]] | BaseException | None] = queue.Queue()
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._drive, args=(actor, waiting, arrived, stop), daemon=True)
            for actor in self.actors
        ]
        for thread in threads:
            thread.start()
        working, problem = len(threads), None
        try:
            while working:
                found = arrived.get()
                if found is None:
                    working -= 1
                elif isinstance(found, BaseException):
                    problem = found
                    stop.set()
                else:
                    for key, pairs in found:
                        answers = [self.chat.answer(prompts[key], ids, cut) for ids, cut in pairs]
                        done(by_key[key], answers)
        finally:
            stop.set()
        if problem is not None:
            raise UserError(f"an engine failed: {problem}") from problem

    def _request(self, ask: Ask) -> Request:
        prompt = self.chat.encode(ask.messages)
        room = self.max_length - len(prompt)
        if room < 1:
            raise UserError(
                f"{ask.key} has {len(prompt)} tokens, and the model takes {self.max_length} with the answer; raise "
                f"--max-length or leave it out"
            )
        seed = stable_seed(ask.seed, ask.key)
        limit = min(ask.max_tokens, room)
        return Request(ask.key, prompt, ask.samples, ask.temperature, ask.top_p, limit, seed, self.stops)

    def _drive(self, actor: Supervised, waiting: deque[Request], arrived: Any, stop: threading.Event) -> None:
        """Keep one engine full until nothing waits. A lost engine is replaced and given again what it was doing."""
        running: dict[str, Request] = {}
        restarts = actor.restarts
        # Enough waits within the engine to keep it full while it hands over, and enough here for the other engines.
        width = self.settings.max_num_seqs
        room = max(width, min(4 * width, len(waiting) // (2 * len(self.actors))))
        try:
            while not stop.is_set():
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
                if actor.restarts != restarts:  # the new one knows of the last requests alone
                    restarts = actor.restarts
                    actor.call("advance", list(running.values()), 0, 0.0, timeout_s=timeout_s)
                found = [(key, pairs) for key, pairs in found if running.pop(key, None) is not None]
                if found:
                    arrived.put(found)
        except BaseException as error:  # told by the calling thread
            arrived.put(error)
        finally:
            arrived.put(None)

    def count_tokens(self, messages: Messages) -> int:
        """Tokens of the prompt."""
        return len(self.chat.encode(messages))

    def close(self) -> None:
        """End the engines."""
        import ray

        for actor in self.actors:
            actor.stop()
        ray.util.remove_placement_group(self.placement)
