"""The inference actor: one vLLM engine that answers questions with a model from a folder or the hub."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rl.actors.vllm_engine import EngineSpec, build, environment
from rl.device import named
from rl.models.lean import import_transformers


@dataclass(frozen=True)
class Request:
    """A conversation that an engine completes."""

    key: str
    prompt: list[int]
    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    stops: list[int]
    """Token ids that end a completion."""


class InferenceActor:
    """One vLLM engine in this process: token ids in, token ids out."""

    def __init__(self, spec: EngineSpec, tensor_parallel: int, shorten: bool = False) -> None:
        """``shorten`` takes the longest prompt and completion that the key-value cache holds, where that is less than
        the model's length, instead of failing."""
        os.environ.update(environment(spec))
        own = named(spec.device).vllm_seeded_requests(spec.model.max_length)
        if tensor_parallel > 1:
            own |= {"tensor_parallel_size": tensor_parallel, "distributed_executor_backend": "mp"}
        if shorten:
            own |= {"max_model_len": -1}
        import_transformers()
        self.llm = build(spec, **own)
        self.running: set[str] = set()

    def ready(self) -> int:
        """Process id, once the engine is up."""
        return os.getpid()

    def max_length(self) -> int:
        """Longest prompt and completion together (tokens)."""
        return int(self.llm.llm_engine.model_config.max_model_len)

    def advance(
        self, requests: Sequence[Request], at_least: int, patience_s: float
    ) -> list[tuple[str, list[tuple[list[int], bool]]]]:
        """Add requests, then run the engine until ``at_least`` have finished, none is left or time is up.

        Returns:
            For each finished request its key and, for each sample, the token ids and whether they were cut at
            ``max_tokens``.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        for request in requests:
            if request.key in self.running:  # sent again, because its sender can't know whether it arrived
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
                    pairs: list[Any] = [(list(one.token_ids), one.finish_reason == "length") for one in output.outputs]
                    found.append((output.request_id, pairs))
        return found
