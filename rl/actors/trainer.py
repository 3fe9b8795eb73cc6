"""The trainer actor: one rank of the training engine. The reference is the same actor without an optimizer."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl.actors.process_group import free_port, join, listen
from rl.config.algorithm import AlgorithmConfig
from rl.config.schema import ModelConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.device import named
from rl.models.lean import import_transformers
from rl.samples import TokenBatch, supervised_batch
from rl.weights.checks import PROBE_TEXT, PROBE_TOKENS, Probe, WeightLedger
from rl.weights.relay import read, sizes
from rl.weights.shared import remove_earlier
from rl.weights.stream import in_parts
from rl.weights.transfer import (
    PART_BYTES,
    WeightUpdate,
    ipc_info,
    nccl_info,
    nccl_join,
    nccl_send,
    on_the_wire,
    roomy,
    write_adapter,
    write_shared,
)

if TYPE_CHECKING:
    from rl.algorithms.losses import Loss
    from rl.engines.base import Engine


@dataclass(frozen=True)
class TrainerSpec:
    """The settings of one trainer rank."""

    model: ModelConfig
    trainer: TrainerConfig
    path: str
    device: str
    seed: int
    rank: int
    backend: str
    """Weight-transfer backend: shm, ipc, nccl or adapter."""
    shared_file: str
    """File for the weights or the adapter on their way to the rollout, unless :func:`rl.weights.transfer.roomy` takes
    another place."""


def environment(spec: TrainerSpec) -> dict[str, str]:
    """Environment of the actor's process. Set it before torch and verl are imported."""
    return named(spec.device).trainer_environment(spec.trainer.threads, cpu_platform="rl.engines.cpu_platform")


class TrainerActor:
    """One rank. Every method that touches the model is called on all ranks at once.

    It uses the model only through :class:`rl.engines.base.Engine`. In a model-parallel group only one rank has metrics,
    log-probs and a probe.
    """

    engine: Engine

    def __init__(self, spec: TrainerSpec) -> None:
        os.environ.update(environment(spec))
        self.spec = spec
        self._kept: list[Any] = []
        self._parts: Iterator[list[tuple[str, Any]]] = iter(())
        self._sent: WeightLedger | None = None
        self._transfer: Any = None
        self._listening: socket.socket | None = None
        self._probe_ids: list[int] = []

    def pid(self) -> int:
        """Process id."""
        return os.getpid()

    def rendezvous(self, address: str | None = None) -> tuple[str, int]:
        """Where rank 0 listens from now on for the other ranks: an address of its machine (that which Ray uses, unless
        one is given) and a port."""
        import ray

        address = address or ray.util.get_node_ip_address()
        self._listening = listen(address)
        return address, int(self._listening.getsockname()[1])

    def transfer_place(self) -> tuple[str, int]:
        """Address of this rank's machine and a free port on it, for the group of the weight transfer."""
        import ray

        address = ray.util.get_node_ip_address()
        return address, free_port(address)

    def setup(self, address: str, port: int) -> float:
        """Join the process group where rank 0 listens, and build the engine; returns seconds."""
        started = time.time()
        spec = self.spec
        os.environ.update(
            RANK=str(spec.rank),
            WORLD_SIZE=str(spec.trainer.world_size),
            LOCAL_RANK="0",
            MASTER_ADDR=address,
            MASTER_PORT=str(port),
        )
        import_transformers()
        import torch

        torch.set_num_threads(spec.trainer.threads)
        torch.manual_seed(spec.seed)
        backend = named(spec.device).process_group
        listening, self._listening = self._listening, None
        join(backend, spec.rank, spec.trainer.world_size, address, port, spec.trainer.timeout_s, listening)
        if spec.trainer.engine == "megatron":
            from rl.engines.megatron.engine import build as build_megatron

            self.engine = build_megatron(spec.model, spec.path, spec.trainer, spec.device)
        else:
            from rl.engines.fsdp import build

            self.engine = build(spec.model, spec.path, spec.trainer, spec.device)
        return time.time() - started

    def begin_stage(self, optim: OptimConfig, total_updates: int) -> None:
        """Start a new optimizer and schedule."""
        self.engine.begin_stage(optim, total_updates)

    def update(
        self,
        batch: TokenBatch,
        algorithm: AlgorithmConfig | None,
        *,
        max_tokens_per_microbatch: int,
        max_completion_tokens: int = 0,
        rows: list[int] | None = None,
    ) -> dict[str, float] | None:
        """One optimizer update: :meth:`accumulate` and :meth:`step`."""
        self.accumulate(
            batch,
            algorithm,
            max_tokens_per_microbatch=max_tokens_per_microbatch,
            max_completion_tokens=max_completion_tokens,
            rows=rows,
        )
        return self.step()

    def accumulate(
        self,
        batch: TokenBatch,
        algorithm: AlgorithmConfig | None,
        *,
        max_tokens_per_microbatch: int,
        max_completion_tokens: int = 0,
        rows: list[int] | None = None,
    ) -> None:
        """Add the gradient of this rank's share of a part of the batch.

        Args:
            batch: whole groups where there is an algorithm, because advantages are computed here from their rewards.
            algorithm: of the policy loss; None for next-token prediction.
            max_tokens_per_microbatch: most tokens of one forward pass.
            max_completion_tokens: see :func:`rl.algorithms.losses.policy_loss`.
            rows: if given, only these sequences are trained on; advantages still come from the whole part.
        """
        if algorithm is not None:
            from rl.algorithms.advantages import with_advantages

            batch = with_advantages(batch, algorithm)
        if rows is not None:
            batch = batch.select(rows)
        share = batch.select(self._share(batch))
        loss = _loss(algorithm, max_completion_tokens)
        self.engine.accumulate(share, loss, max_tokens_per_microbatch=max_tokens_per_microbatch)

    def step(self) -> dict[str, float] | None:
        """The optimizer update from everything accumulated, and its metrics over all ranks."""
        return self.engine.step()

    def log_probs(
        self, batch: TokenBatch, *, max_tokens_per_microbatch: int, adapter: bool = True
    ) -> tuple[list[int], np.ndarray]:
        """Rows that this rank answers for, and their log-probs (flat, target-aligned).

        Without the LoRA adapter if ``adapter`` is False.
        """
        rows = self._share(batch)
        found = self.engine.log_probs(
            batch.select(rows), max_tokens_per_microbatch=max_tokens_per_microbatch, adapter=adapter
        )
        return ([], np.zeros(0, dtype=np.float32)) if found is None else (rows, found)

    def _share(self, batch: TokenBatch) -> list[int]:
        from rl.engines.layout import shard

        return shard(batch, self.engine.data_parallel_size)[self.engine.data_parallel_rank]

    def publish(self, version: int) -> tuple[WeightUpdate | None, Probe | None]:
        """Make the weights available to the rollout engines; the update is from rank 0, a probe from ranks that have
        log-probs."""
        if version == 1 and self.spec.rank == 0:
            remove_earlier(Path(self.spec.shared_file))  # on this node, which may not be the driver's
        probe = self._probe()
        if self.spec.backend == "adapter":
            adapter = dict(self.engine.adapter_weights())
            if self.spec.rank > 0:
                return None, probe
            need = sum(tensor.numel() * tensor.element_size() for tensor in adapter.values())
            folder = self._place(need).with_suffix(f".adapter-{version}")
            write_adapter(adapter, folder, self.spec.model.lora_rank, self.spec.model.lora_alpha)
            return WeightUpdate(version, {"adapter": str(folder)}), probe
        sent = WeightLedger(version)
        if self.spec.backend == "ipc":
            self._sent = sent
            self._parts = in_parts(sent.watch(on_the_wire(self.engine.full_weights())), PART_BYTES)
            return WeightUpdate(version, {}), probe
        if self.spec.backend == "nccl":
            info = nccl_info(sent.watch(on_the_wire(self.engine.full_weights())))
        elif self.spec.rank == 0:
            metadata = self.engine.weight_metadata
            place = self._place(sum(tensor.nbytes for tensor in metadata.values()))
            info, weights = {"path": str(place)}, sent.watch(self.engine.full_weights())
            try:
                write_shared(weights, metadata, place)
            finally:  # the other ranks walk through all of them, also if the place is full
                deque(weights, maxlen=0)
        else:  # gathering is a collective: every rank walks through the weights, only rank 0 keeps them
            deque(self.engine.full_weights(), maxlen=0)
        return (WeightUpdate(version, info, sent) if self.spec.rank == 0 else None), probe

    def next_part(self) -> tuple[dict[str, Any], WeightLedger | None]:
        """Offer the next part of the published weights to engines on these GPUs, in place of the part before.

        Returns:
            vLLM's update info, and nothing; after the last part nothing to take, and what was sent in all.
        """
        import torch

        self._kept = []
        torch.cuda.ipc_collect()
        part = next(self._parts, None)
        if part is None:
            return {}, self._sent
        info, self._kept = ipc_info(part)
        return info, None

    def _place(self, need: int) -> Path:
        return roomy(Path(self.spec.shared_file), need)

    def _probe(self) -> Probe | None:
        """Log-probs of a short text under the current weights; every data-parallel rank computes all of it."""
        from transformers import AutoTokenizer

        from rl.engines.rounding import rounded_again

        if not self._probe_ids:
            spec = self.spec
            tokenizer = AutoTokenizer.from_pretrained(spec.path, trust_remote_code=spec.model.trust_remote_code)
            self._probe_ids = list(tokenizer.encode(PROBE_TEXT))[: min(PROBE_TOKENS, spec.model.max_length - 1)]
        text = supervised_batch([(self._probe_ids, 1)])
        log_probs, moved = self.engine.log_probs(text, max_tokens_per_microbatch=PROBE_TOKENS), None
        if named(self.spec.device).exact:
            with rounded_again():
                moved = self.engine.log_probs(text, max_tokens_per_microbatch=PROBE_TOKENS)
        if log_probs is None:
            return None
        rounding = 0.0 if moved is None else float(np.abs(moved - log_probs).max())
        return Probe(self._probe_ids, log_probs[1:], rounding)

    def join_transfer(self, address: str, port: int, size: int) -> None:
        """Join the NCCL group of trainer and rollout engines; only rank 0 is in it."""
        if self.spec.rank == 0:
            self._transfer = nccl_join(address, port, size)

    def shared_sizes(self, path: str) -> list[tuple[str, int]]:
        """See :func:`rl.weights.relay.sizes`."""
        return sizes(Path(path))

    def read_shared(self, path: str, offset: int) -> bytes:
        """A part of the weights that lie in shared memory, for an engine on another node."""
        return read(Path(path), offset)

    def send(self) -> None:
        """Broadcast the weights over NCCL to the engines that are receiving."""
        weights = self.engine.full_weights()
        if self.spec.rank == 0:
            nccl_send(on_the_wire(weights), self._transfer)
        else:
            deque(weights, maxlen=0)

    def save(self, folder: str) -> dict[str, int]:
        """Write this rank's part of weights, optimizer, schedule and random state.

        Returns:
            Names and sizes of the files that are in the folder then, as this rank sees it.
        """
        import torch.distributed as dist

        self.engine.save(Path(folder))
        dist.barrier()  # every rank has written
        return dict(sizes(Path(folder)))

    def load(self, folder: str, weights_only: bool) -> None:
        """Read what :meth:`save` wrote, also with another number of ranks."""
        self.engine.load(Path(folder), weights_only=weights_only)

    def export(self, folder: str) -> None:
        """Write a Hugging Face folder (safetensors, config, tokenizer), adapters merged."""
        self.engine.export(Path(folder))


def _loss(algorithm: AlgorithmConfig | None, max_completion_tokens: int) -> Loss:
    from rl.algorithms.losses import next_token_loss, policy_loss

    if algorithm is None:
        return next_token_loss
    return policy_loss(algorithm, max_completion_tokens=max_completion_tokens)
