"""The trainer actor: one rank of the training engine. The reference is the same actor without an optimizer."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl.config.algorithm import AlgorithmConfig
from rl.config.schema import ModelConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.device import named
from rl.samples import TokenBatch, supervised_batch
from rl.weights.checks import PROBE_TEXT, PROBE_TOKENS, Probe, WeightLedger
from rl.weights.transfer import (
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


@dataclass(frozen=True)
class TrainerSpec:
    """What one trainer rank is built from."""

    model: ModelConfig
    trainer: TrainerConfig
    path: str
    device: str
    seed: int
    rank: int
    backend: str
    """Weight-transfer backend: shm, ipc, nccl or adapter."""
    shared_file: str
    """Place for the weights or the adapter on their way to the rollout (or where :func:`rl.weights.transfer.roomy`
    finds room)."""


def environment(spec: TrainerSpec) -> dict[str, str]:
    """Environment of the actor's process. It must stand before torch and verl are imported."""
    return named(spec.device).trainer_environment(spec.trainer.threads)


class TrainerActor:
    """One rank. Every method that touches the model is called on all ranks at once."""

    def __init__(self, spec: TrainerSpec) -> None:
        os.environ.update(environment(spec))
        self.spec = spec
        self._kept: list[Any] = []
        self._transfer: Any = None
        self._probe_ids: list[int] = []

    def pid(self) -> int:
        """Process id."""
        return os.getpid()

    def rendezvous(self) -> tuple[str, int]:
        """Address and free port of this rank's machine, for the process group."""
        import socket

        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def setup(self, address: str, port: int) -> float:
        """Join the process group and build the engine; returns seconds."""
        started = time.time()
        spec = self.spec
        os.environ.update(
            RANK=str(spec.rank),
            WORLD_SIZE=str(spec.trainer.world_size),
            LOCAL_RANK="0",
            MASTER_ADDR=address,
            MASTER_PORT=str(port),
        )
        import torch

        torch.set_num_threads(spec.trainer.threads)
        torch.manual_seed(spec.seed)
        backend = named(spec.device).process_group
        torch.distributed.init_process_group(backend, rank=spec.rank, world_size=spec.trainer.world_size)
        from rl.engines.fsdp import build

        self.engine = build(spec.model, spec.path, spec.trainer, spec.device)
        return time.time() - started

    def begin_stage(self, optim: OptimConfig, total_updates: int) -> None:
        """A fresh optimizer and schedule."""
        self.engine.begin_stage(optim, total_updates)

    def update(
        self,
        batch: TokenBatch,
        algorithm: AlgorithmConfig | None,
        max_tokens: int,
        horizon: int = 0,
        rows: list[int] | None = None,
    ) -> dict[str, float]:
        """One optimizer update: :meth:`accumulate` and :meth:`step`."""
        self.accumulate(batch, algorithm, max_tokens, horizon, rows)
        return self.step(algorithm, horizon)

    def accumulate(
        self,
        batch: TokenBatch,
        algorithm: AlgorithmConfig | None,
        max_tokens: int,
        horizon: int = 0,
        rows: list[int] | None = None,
    ) -> None:
        """Add the gradient of a part of the batch, of which this rank trains its share.

        Without an algorithm the loss is next-token prediction; with one it is the policy loss, and advantages are made
        here from the rewards of the part, which holds whole groups. With ``rows`` the gradient is that of these
        sequences alone, their advantages still made from the whole part.
        """
        if algorithm is not None:
            from rl.algorithms.advantages import with_advantages

            batch = with_advantages(batch, algorithm)
        if rows is not None:
            batch = batch.select(rows)
        with self.engine.train_mode(disable_auto_offload=True, zero_grad_on_exit=False):
            self.engine.accumulate(batch.select(self._share(batch)), _loss(algorithm, horizon), max_tokens)

    def step(self, algorithm: AlgorithmConfig | None, horizon: int = 0) -> dict[str, float]:
        """The optimizer update from all that was accumulated."""
        with self.engine.train_mode(disable_auto_offload=not self.spec.trainer.offload_optimizer):
            return self.engine.step(_loss(algorithm, horizon))

    def log_probs(self, batch: TokenBatch, max_tokens: int, adapter: bool = True) -> tuple[list[int], np.ndarray]:
        """Rows of this rank's share and their log-probs (flat, target-aligned); with the adapter off on request."""
        from contextlib import nullcontext

        rows = self._share(batch)
        with (
            self.engine.eval_mode(disable_auto_offload=True),
            nullcontext() if adapter else self.engine.disable_adapter(),
        ):
            return rows, self.engine.infer_batch(batch.select(rows), max_tokens=max_tokens)

    def _share(self, batch: TokenBatch) -> list[int]:
        from rl.engines.layout import shard

        return shard(batch, self.spec.trainer.world_size)[self.spec.rank]

    def publish(self, version: int) -> WeightUpdate | None:
        """Make the weights available to the rollout engines; the update is returned by rank 0 only."""
        probe = self._probe()
        if self.spec.backend == "adapter":
            adapter = dict(self.engine.adapter_weights())
            if self.spec.rank > 0:
                return None
            folder = self._place(adapter.values()).with_suffix(f".adapter-{version}")
            write_adapter(adapter, folder, self.spec.model.lora_rank, self.spec.model.lora_alpha)
            return WeightUpdate(version, {"adapter": str(folder)}, probe=probe)
        sent = WeightLedger(version)
        if self.spec.backend == "ipc":
            info, self._kept = ipc_info(sent.watch(on_the_wire(self.engine.full_weights())))
        elif self.spec.backend == "nccl":
            info = nccl_info(sent.watch(on_the_wire(self.engine.full_weights())))
        elif self.spec.rank == 0:
            place = self._place(self.engine.module.parameters())
            info = {"path": str(place)}
            write_shared(sent.watch(self.engine.full_weights()), place)
        else:  # gathering is a collective: every rank walks through the weights, and rank 0 alone keeps them
            deque(self.engine.full_weights(), maxlen=0)
        return WeightUpdate(version, info, sent, probe) if self.spec.rank == 0 else None

    def _place(self, tensors: Iterable[Any]) -> Path:
        need = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return roomy(Path(self.spec.shared_file), need)

    def _probe(self) -> Probe:
        """What the weights make of a short text; every rank computes all of it."""
        from transformers import AutoTokenizer

        if not self._probe_ids:
            spec = self.spec
            tokenizer = AutoTokenizer.from_pretrained(spec.path, trust_remote_code=spec.model.trust_remote_code)
            self._probe_ids = list(tokenizer.encode(PROBE_TEXT))[: min(PROBE_TOKENS, spec.model.max_length - 1)]
        with self.engine.eval_mode(disable_auto_offload=True):
            log_probs = self.engine.infer_batch(supervised_batch([(self._probe_ids, 1)]), max_tokens=PROBE_TOKENS)
        return Probe(self._probe_ids, log_probs[1:])

    def join_transfer(self, address: str, port: int, size: int) -> None:
        """Join the NCCL group of trainer and rollout engines; only rank 0 is in it."""
        if self.spec.rank == 0:
            self._transfer = nccl_join(address, port, size)

    def send(self) -> None:
        """Broadcast the weights over NCCL to the engines that are receiving."""
        weights = self.engine.full_weights()
        if self.spec.rank == 0:
            nccl_send(on_the_wire(weights), self._transfer)
        else:
            deque(weights, maxlen=0)

    def save(self, folder: str) -> None:
        """Write this rank's share of weights, optimizer, schedule and random state (resharded on load as needed)."""
        from rl.engines.state import save

        save(self.engine, Path(folder))

    def load(self, folder: str, weights_only: bool) -> None:
        """Read what :meth:`save` wrote, at this world size or another."""
        from rl.engines.state import load

        load(self.engine, Path(folder), weights_only)

    def export(self, folder: str) -> None:
        """Write a Hugging Face folder (safetensors, config, tokenizer), adapters merged."""
        from rl.engines.state import export

        export(self.engine, Path(folder), self.spec.path, self.spec.model.trust_remote_code)


def _loss(algorithm: AlgorithmConfig | None, horizon: int) -> Loss:
    from rl.algorithms.losses import next_token_loss, policy_loss

    return next_token_loss if algorithm is None else policy_loss(algorithm, horizon)
