"""Sums over the micro-batches of a batch, on one rank and over all ranks."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from rl.algorithms.losses import LossSums

PERCENTILE = 0.99


class BatchSums:
    """Counts and metrics of the micro-batches since the last update."""

    def __init__(self, per: Literal["tokens", "sequences"], device: torch.device) -> None:
        """``per``: what the loss is divided by."""
        self.per, self.device = per, device
        self.counts = torch.zeros(2, dtype=torch.float64, device=device)
        """Targets, and sequences that have some."""
        self.sums: dict[str, dict[str, Tensor]] = {"terms": {}, "per_token": {}, "largest": {}}
        self.log_ratios: list[Tensor] = []

    def count(self, targets: int, sequences: int) -> None:
        """Add to the sizes of the batch."""
        self.counts += torch.tensor([targets, sequences], dtype=torch.float64, device=self.device)

    def add(self, found: LossSums) -> None:
        """Add the metrics of a micro-batch."""
        for kind, values in (("terms", found.terms), ("per_token", found.per_token), ("largest", found.largest)):
            mine = self.sums[kind]
            for name, value in values.items():
                value = torch.as_tensor(value, device=self.device).double()
                if name in mine:
                    value = torch.maximum(mine[name], value) if kind == "largest" else mine[name] + value
                mine[name] = value
        if found.log_ratios is not None:
            self.log_ratios.append(found.log_ratios)

    def reduce(self, group: dist.ProcessGroup) -> tuple[dict[str, float], float]:
        """Metrics of the batch over all ranks, and the divisor of the loss."""
        names = self._names(group)
        dist.all_reduce(self.counts, group=group)
        targets, sequences = (max(1.0, value) for value in self.counts.tolist())
        divisor = targets if self.per == "tokens" else sequences
        metrics: dict[str, float] = {}
        for kind, op, over in (
            ("terms", dist.ReduceOp.SUM, divisor),
            ("per_token", dist.ReduceOp.SUM, targets),
            ("largest", dist.ReduceOp.MAX, 1.0),
        ):
            if names[kind]:
                zero = torch.zeros((), dtype=torch.float64, device=self.device)
                values = torch.stack([self.sums[kind].get(name, zero) for name in names[kind]])
                dist.all_reduce(values, op, group=group)
                metrics |= {name: value / over for name, value in zip(names[kind], values.tolist(), strict=True)}
        if names["log_ratios"]:
            metrics["ratio_p99"] = self._percentile(group)
        return metrics, divisor

    def _names(self, group: dist.ProcessGroup) -> dict[str, list[str]]:
        """Names of the metrics of all ranks: a rank without sequences has none."""
        mine = {kind: sorted(values) for kind, values in self.sums.items()}
        mine["log_ratios"] = ["log_ratios"] * bool(self.log_ratios)
        if dist.get_world_size(group) == 1:
            return mine
        everyones: list[dict[str, list[str]]] = [{} for _ in range(dist.get_world_size(group))]
        dist.all_gather_object(everyones, mine, group=group)
        return {kind: sorted({name for names in everyones for name in names[kind]}) for kind in mine}

    def _percentile(self, group: dist.ProcessGroup) -> float:
        """99th percentile of the ratio of trainer to sampler, over the tokens of all ranks."""
        mine = torch.cat(self.log_ratios) if self.log_ratios else torch.zeros(0, device=self.device)
        sizes = [torch.zeros(1, dtype=torch.long, device=self.device) for _ in range(dist.get_world_size(group))]
        dist.all_gather(sizes, torch.tensor([len(mine)], device=self.device), group=group)
        longest = max(int(size) for size in sizes)
        padded = torch.full((longest,), math.nan, dtype=mine.dtype, device=self.device)
        padded[: len(mine)] = mine
        rows = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(rows, padded, group=group)
        every = torch.cat([row[: int(size)] for row, size in zip(rows, sizes, strict=True)])
        rank = min(len(every) - 1, int(PERCENTILE * len(every)))
        return float(every.sort().values[rank].exp())


def norm(tensor: Tensor) -> Tensor:
    """The length of a tensor as a vector (float64 []).

    On a CPU, torch adds the squares of float32 one after the other in float32: of two million the sum is wrong by 1e-4,
    so that it would depend on how a model is cut.
    """
    return torch.linalg.vector_norm(tensor, dtype=torch.float64)
