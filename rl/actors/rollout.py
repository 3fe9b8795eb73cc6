"""The rollout actor: one vLLM engine that samples completions with the policy's current weights."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rl.actors.vllm_engine import EngineSpec, build, environment
from rl.config.stages import SamplingConfig
from rl.device import named
from rl.models.checkpoint_format import CheckpointFormat
from rl.models.lean import import_transformers
from rl.models.stops import completion_text, stop_ids
from rl.samples import Completion
from rl.weights.checks import PROBED_SYNCS, Delivery
from rl.weights.relay import fetch, in_file, pulled
from rl.weights.transfer import WeightUpdate, count_layers, register


@dataclass(frozen=True)
class RolloutSpec(EngineSpec):
    """What one rollout actor is built from."""

    backend: str
    """Weight-transfer backend: shm, ipc, nccl or adapter."""
    load_weights: bool = True
    """Whether the engine reads the model's weights. In a run it starts from noise, unless syncs hand over an adapter
    alone: weights that the first sync left out then fail the check after it."""


class RolloutActor:
    """One vLLM engine in this process. Token ids in, token ids out; text is decoded for rewards only."""

    def __init__(self, spec: RolloutSpec) -> None:
        os.environ.update(environment(spec))
        self.started = time.time()
        import_transformers()
        from transformers import AutoTokenizer

        register()
        self.spec = spec
        device = named(spec.device)
        self.exact = device.exact
        self.tokenizer = AutoTokenizer.from_pretrained(spec.path, trust_remote_code=spec.model.trust_remote_code)
        if spec.backend != "adapter":
            # Before vLLM starts, which changes classes of transformers where it has no implementation of the model.
            self._format = self._checkpoint_format()
        self.llm = build(
            spec,
            enable_sleep_mode=device.sleeps,
            # Log-probs of the distribution that tokens are drawn from, temperature applied.
            logprobs_mode="processed_logprobs",
            load_format="auto" if spec.load_weights else "dummy",
            **self._transfer_options(),
        )
        if spec.backend in ("shm", "ipc"):  # over NCCL both sides join later, together
            self.llm.init_weight_transfer_engine({"init_info": {}})
        self.version = 0
        self.adapter: Any = None
        self.probed = 0
        """Number of syncs after which log-probs were compared."""
        self._delivery: Delivery | None = None
        """The weights that are being loaded."""
        self.running: dict[str, int] = {}
        """Weight version at which each unfinished request began."""

    def _transfer_options(self) -> dict[str, Any]:
        from vllm.config.weight_transfer import WeightTransferConfig

        if self.spec.backend != "adapter":
            return {"weight_transfer_config": WeightTransferConfig(backend=self.spec.backend)}
        rank = next(size for size in (8, 16, 32, 64, 128, 256, 512) if size >= self.spec.model.lora_rank)
        # Requests that run when a new adapter arrives finish with the old one, so two are kept.
        return {"enable_lora": True, "max_lora_rank": rank, "max_loras": 2}

    def ready(self) -> float:
        """Seconds that the engine took to start."""
        return time.time() - self.started

    def pid(self) -> int:
        """Process id."""
        return os.getpid()

    def generate(
        self, prompts: Sequence[list[int]], n: int, sampling: SamplingConfig, seed: int
    ) -> list[list[Completion]]:
        """``n`` completions of each prompt (token ids). Equal weights, prompts and seed give equal completions."""
        requests = [(str(i), ids) for i, ids in enumerate(prompts)]
        self.submit(requests, n, sampling, seed)
        found = dict(self.collect(len(requests)))
        return [found[uid] for uid, _ in requests]

    def submit(
        self, requests: Sequence[tuple[str, list[int]]], n: int, sampling: SamplingConfig, seed: int | None = None
    ) -> None:
        """Queue requests, (uid, token ids of the prompt), for ``n`` completions each.

        With a seed, the engine drops what it was doing and starts again, so that equal weights, requests and seed give
        equal completions in an equal order. The engine's own generator is seeded: seeds for single requests would do
        the same at the price of one draw a sequence, and on CPU they fail once a prompt is prefilled in chunks.
        """
        import torch
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        if seed is not None:
            self.abort()
            torch.manual_seed(seed)
        params = SamplingParams(
            n=n,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_tokens,
            min_tokens=sampling.min_tokens,
            logprobs=0,
            detokenize=False,
            stop_token_ids=sorted(stop_ids(self.tokenizer)),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        for uid, ids in requests:
            if uid in self.running:  # a request may be repeated when its sender can't tell whether it arrived
                continue
            self.running[uid] = self.version
            self.llm.llm_engine.add_request(uid, {"prompt_token_ids": ids}, params, lora_request=self.adapter)

    def collect(self, at_least: int, patience_s: float | None = None) -> list[tuple[str, list[Completion]]]:
        """(uid, completions) of requests, in the order in which they finish.

        Runs the engine until ``at_least`` have finished, nothing is left, or ``patience_s`` seconds have passed.
        """
        found: list[tuple[str, list[Completion]]] = []
        deadline = None if patience_s is None else time.monotonic() + patience_s
        while self.running and len(found) < at_least and (deadline is None or time.monotonic() < deadline):
            for output in self.llm.llm_engine.step():
                if output.finished:
                    version = self.running.pop(output.request_id)
                    found.append((output.request_id, [self._completion(c, version) for c in output.outputs]))
        return found

    def abort(self) -> None:
        """Drop every request that has not finished."""
        if self.running:
            self.llm.llm_engine.abort_request(list(self.running))
            self.running.clear()

    def _completion(self, choice: Any, version: int) -> Completion:
        ids = list(choice.token_ids)
        return Completion(
            token_ids=np.asarray(ids, dtype=np.int64),
            log_probs=np.asarray(
                [step[token].logprob for step, token in zip(choice.logprobs, ids, strict=True)], np.float32
            ),
            text=completion_text(self.tokenizer, ids),
            finish_reason=choice.finish_reason or "length",
            weight_version=version,
        )

    def join_transfer(self, address: str, port: int, rank: int, size: int) -> None:
        """Join the NCCL group of trainer and rollout engines."""
        info = {"master_address": address, "master_port": port, "rank_offset": rank, "world_size": size, "packed": True}
        self.llm.init_weight_transfer_engine({"init_info": info})

    def fetch(self, sender: Any, update: WeightUpdate, shared_file: str) -> WeightUpdate:
        """Copy published weights from the trainer's node to this one; the update as engines of this node can take it.

        Args:
            sender: the trainer's first rank.
            update: what it published.
            shared_file: where a file may lie.
        """
        import ray

        path = update.info[str(in_file(update))]
        found = ray.get(sender.shared_sizes.remote(path))
        return fetch(
            update,
            found,
            lambda name, size: pulled(sender, os.path.join(path, name) if name else path, size),
            Path(shared_file),
        )

    def sync(self, update: WeightUpdate) -> float:
        """Load published weights; returns seconds.

        The key-value cache of the old weights is dropped. Unfinished requests keep their tokens and continue under the
        new weights. The weights that arrived are checked. Unless requests are running, log-probs are compared too:
        after the first syncs, or after every sync with ``rollout.verify_sync``.

        Raises:
            SyncError: if the engine does not run the weights that were published.
        """
        started = time.time()
        if "adapter" in update.info:
            from vllm.lora.request import LoRARequest

            self.version = update.version
            self.adapter = LoRARequest(f"policy-{update.version}", update.version, update.info["adapter"])
            self._probe(update)
        else:
            self.begin(update.version)
            self.take(update.version, update.info)
            self.end(update)
        return time.time() - started

    def begin(self, version: int) -> None:
        """Begin to load weights that come in parts; what came of an earlier version is given up."""
        if self._delivery is not None:
            self._finish()
        self.llm.start_weight_update()
        self._delivery = Delivery(self._model, self._format, version)

    def take(self, version: int, info: dict[str, Any]) -> None:
        """Load a part of them. An engine that was started again since :meth:`begin` leaves it."""
        delivery = self._delivery
        if delivery is None or delivery.received.version != version:
            return
        self._delivery = None  # vLLM gives up an update of which a part fails
        with delivery:
            self.llm.update_weights({"update_info": info})
        self._delivery = delivery

    def end(self, update: WeightUpdate) -> bool:
        """Check and use what was loaded; False if this engine has not got all of it, because it was started again.

        Raises:
            SyncError: if the engine does not run the weights that were published.
        """
        delivery = self._delivery
        if delivery is None or delivery.received.version != update.version:
            return False
        try:
            if update.sent is not None:
                update.sent.compare(delivery.received)
            delivery.check(count_layers(self._model))
        finally:
            self._finish()
        self.version = update.version
        self.llm.reset_prefix_cache(reset_running_requests=bool(self.running))
        self._probe(update)
        return True

    def _finish(self) -> None:
        self._delivery = None
        self.llm.finish_weight_update()

    def _probe(self, update: WeightUpdate) -> None:
        wanted = self.probed < PROBED_SYNCS or self.spec.rollout.verify_sync
        if update.probe is not None and wanted and not self.running:
            update.probe.compare(self.prompt_log_probs(update.probe.token_ids), exact=self.exact)
            self.probed += 1

    @cached_property
    def _model(self) -> Any:
        """vLLM's model, which runs in this process."""
        found: list[Any] = []
        self.llm.apply_model(found.append)
        return found[0]

    def _checkpoint_format(self) -> CheckpointFormat:
        from transformers import AutoConfig

        trust = self.spec.model.trust_remote_code
        return CheckpointFormat(AutoConfig.from_pretrained(self.spec.path, trust_remote_code=trust), trust)

    def prompt_log_probs(self, token_ids: list[int]) -> np.ndarray:
        """Log-probs (float32) of every token after the first. The state of the sampling generator does not change."""
        import torch
        from vllm import SamplingParams, TokensPrompt

        params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        with torch.random.fork_rng():
            prompt = TokensPrompt(prompt_token_ids=token_ids)
            output = self.llm.generate(prompt, params, lora_request=self.adapter, use_tqdm=False)[0]
        steps = zip(output.prompt_logprobs[1:], token_ids[1:], strict=True)
        return np.asarray([step[token].logprob for step, token in steps], np.float32)

    def sleep(self) -> None:
        """Free the GPU for the trainer. The next :meth:`sync` brings weights; a base model is kept in CPU memory."""
        self.llm.sleep(level=1 if self.spec.backend == "adapter" else 2)

    def wake(self) -> None:
        """Take the GPU back."""
        self.llm.wake_up()
