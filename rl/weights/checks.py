"""Checks of weights on their way from the trainer to a rollout engine: a sync must never fail silently.

:class:`WeightLedger` compares what arrived with what was sent, :class:`Delivery` checks how much of it vLLM's model
took, and :class:`Probe` compares log-probs of trainer and engine on a short text after the sync.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rl.errors import UserError

if TYPE_CHECKING:
    import torch

    from rl.models.checkpoint_format import CheckpointFormat

PROBE_TEXT = "盗窃公私财物,数额较大的,处三年以下有期徒刑、拘役或者管制,并处或者单处罚金。"
"""A legal text: log-probs of a text that a model knows show differences better than those of noise."""
PROBE_TOKENS = 64
"""Most tokens of a probe."""
PROBED_SYNCS = 2
"""How many syncs of each engine are probed; the second is the first with trained weights."""
SUMMED = 8
"""One in so many tensors is summed in each sync, and others in the next."""
SUMMED_AT_ONCE = 2**22
"""Numbers of a tensor that are summed together."""
PARITY_TOLERANCE = 1e-4
"""Difference of trainer and rollout log-probs in fp32 (nats) that every model may have."""
ROUNDINGS = 8
"""A model may also have so many times what one more rounding of each number moves its log-probs by. Trainer and rollout
of a Gemma 3 differ by one to three times as much (docs/guides/pretrained.md)."""
LARGEST_TOLERANCE = 1e-2
"""No model may have more in fp32: weights that did not arrive change log-probs by more than 1."""
PARITY_TOLERANCE_BF16 = 0.1
"""Largest mean difference in bf16 (nats). Rounding changes single log-probs by as much and their mean by a tenth of it;
weights that did not arrive change it by more than 1."""
ADVICE = (
    "nothing was trained on it. The installed vLLM can't take over the weights of this model; use another vLLM or "
    "another model.path, and another rollout.weight_transfer where the model works without it"
)


class SyncError(UserError):
    """The rollout engine does not run the weights that were published."""


@dataclass(frozen=True)
class Probe:
    """A short text and the trainer's log-probs of it."""

    token_ids: list[int]
    log_probs: np.ndarray
    """Float32, of every token after the first."""
    rounding: float = 0.0
    """Most that one more rounding moves one of them (:mod:`rl.engines.rounding`); 0 where they are not in fp32."""

    @property
    def tolerance(self) -> float:
        """Largest difference that is taken for rounding in fp32 (nats)."""
        return min(max(PARITY_TOLERANCE, ROUNDINGS * self.rounding), LARGEST_TOLERANCE)

    def compare(self, found: np.ndarray, exact: bool) -> None:
        """Compare with the engine's log-probs; ``exact`` if both compute in fp32.

        Raises:
            SyncError: if they differ by more than rounding explains.
        """
        differences = np.abs(found - self.log_probs)
        worst = float(differences.max() if exact else differences.mean())
        allowed = self.tolerance if exact else PARITY_TOLERANCE_BF16
        if not worst <= allowed:
            raise SyncError(
                f"after a weight sync, log-probs of trainer and rollout differ by {worst:.1e} nats "
                f"({'at most' if exact else 'on average'}; allowed {allowed:.1e}), so the rollout does not run the "
                f"weights that were published; {ADVICE}"
            )


@dataclass
class WeightLedger:
    """Names, shapes and sums of the tensors that pass through."""

    version: int
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    """Sums over the bits of a sample of the tensors; every version has another sample."""

    def watch(self, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        """Pass the weights on and note each."""
        for name, tensor in weights:
            self.shapes[name] = tuple(tensor.shape)
            if zlib.crc32(name.encode()) % SUMMED == self.version % SUMMED:
                self.sums[name] = checksum(tensor)
            yield name, tensor

    def compare(self, received: WeightLedger) -> None:
        """Compare this ledger, of what was sent, with that of what arrived.

        Raises:
            SyncError: if a tensor is missing, was not sent, or differs.
        """
        compared: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
            ("shape", self.shapes, received.shapes),
            ("sum", self.sums, received.sums),
        ]
        for what, sent, arrived in compared:
            if sent != arrived:
                odd = sorted({name for name, _ in sent.items() ^ arrived.items()})
                raise SyncError(
                    f"{len(odd)} weights did not reach the rollout as they were published, among them {odd[0]} (by its "
                    f"{what}); {ADVICE}"
                )


def checksum(tensor: torch.Tensor) -> int:
    """The sum over a tensor's bits, read as integers: equal on every device and for every order of summation."""
    import torch

    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    flat = tensor.detach().contiguous().reshape(-1).view(whole)
    # torch copies what it sums to the type of the sum.
    return sum(int(part.sum(dtype=torch.int64)) for part in flat.split(SUMMED_AT_ONCE))


class Delivery:
    """One update of a vLLM model: converts incoming weights to the checkpoint's form and notes them."""

    def __init__(self, model: Any, form: CheckpointFormat, version: int) -> None:
        self.model, self.form = model, form
        self.received = WeightLedger(version)
        self.elements = 0
        """Number of elements handed to vLLM."""
        self._incoming = form.converter()

    def __enter__(self) -> Delivery:
        load = self.model.load_weights
        # Every transfer engine calls the model's load_weights, once or for one chunk after the other.
        self.model.load_weights = lambda weights: load(self._counted(weights))
        return self

    def __exit__(self, *_: object) -> None:
        del self.model.load_weights

    def _counted(self, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        for name, tensor in self._incoming.feed(self.received.watch(weights)):
            self.elements += tensor.numel()
            yield name, tensor

    def check(self, taken: dict[str, LayerCount]) -> None:
        """Compare with what each layer of vLLM's model took.

        Raises:
            SyncError: if a layer took too few elements, or a weight belongs to no layer.
        """
        self._incoming.finish()
        empty = sorted(name for name, layer in taken.items() if layer.taken < layer.wanted)
        if empty:
            raise SyncError(
                f"vLLM left {len(empty)} layers of its model without new weights, among them {empty[0]}; {ADVICE}"
            )
        total = sum(layer.taken for layer in taken.values())
        if total < self.elements:
            raise SyncError(
                f"vLLM's model took {total} of the {self.elements} numbers in the weights that it was handed, and "
                f"dropped the rest; {ADVICE}"
            )


@dataclass(frozen=True)
class LayerCount:
    """How many elements a layer of vLLM's model took, and how many it needs."""

    taken: int
    wanted: int
