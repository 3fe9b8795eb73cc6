"""What the trainer actor asks of a training engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from rl.algorithms.losses import Loss
from rl.config.stages import OptimConfig
from rl.samples import TokenBatch


@runtime_checkable
class Engine(Protocol):
    """One rank of a model in training. Every method is a collective: it is called on all ranks at once.

    Batches are sharded over the data-parallel ranks. The ranks of a model-parallel group have the same data-parallel
    rank and get the same rows; one of them returns log-probs and metrics, the others return None. An engine changes
    between training and evaluation mode by itself, and moves what it offloads.
    """

    @property
    def data_parallel_rank(self) -> int:
        """Which share of a batch this rank gets, from 0."""
        ...

    @property
    def data_parallel_size(self) -> int:
        """Number of shares that a batch is cut into."""
        ...

    @property
    def weight_metadata(self) -> dict[str, Tensor]:
        """Name, shape and type of what :meth:`full_weights` will give; the tensors have no memory (device "meta")."""
        ...

    def begin_stage(self, optim: OptimConfig, total_updates: int) -> None:
        """Start a new optimizer and schedule from the current weights."""
        ...

    def accumulate(self, batch: TokenBatch, loss: Loss, *, max_tokens_per_microbatch: int) -> None:
        """Add the gradient of this rank's share of a part of the batch, in training mode.

        All parts of one update have the same loss.
        """
        ...

    def step(self) -> dict[str, float] | None:
        """Make the update from everything accumulated since the last one.

        Returns ``grad_norm`` (before clipping), ``lr`` and the metrics of the loss, over the whole batch of all ranks.
        A loss or gradient that is not finite leaves the weights as they were, and ``grad_norm`` is then not finite.
        """
        ...

    def log_probs(
        self, batch: TokenBatch, *, max_tokens_per_microbatch: int, adapter: bool = True
    ) -> np.ndarray | None:
        """Log-probs of this rank's share (float32 [T], target-aligned, 0 where the loss mask is off), in evaluation
        mode; without the LoRA adapter if ``adapter`` is False."""
        ...

    def full_weights(self) -> Iterator[tuple[str, Tensor]]:
        """(transformers' or the checkpoint's name, whole tensor) of every weight, adapters merged, on every rank.

        A tensor may be the live parameter: copy what you keep beyond the next update.

        Raises:
            WeightNamesError: if names and shapes are not exactly those of the model without adapters.
        """
        ...

    def adapter_weights(self) -> Iterator[tuple[str, Tensor]]:
        """(peft's name, whole tensor) of every weight of the LoRA adapter, on every rank."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights, optimizer, schedule and random state under ``folder``."""
        ...

    def load(self, folder: Path, *, weights_only: bool) -> None:
        """Read what :meth:`save` wrote, also with another number of ranks.

        With ``weights_only`` optimizer and schedule stay as they are.
        """
        ...

    def export(self, folder: Path) -> None:
        """Write a Hugging Face folder (safetensors, config, tokenizer), adapters merged."""
        ...
