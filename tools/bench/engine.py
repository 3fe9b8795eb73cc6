"""``python -m tools.bench.engine``: the training engine against a bare PyTorch loop, in CPU-seconds.

Both train the same model on the same batch of ragged sequences, in turns within one process and on one thread. Losses
are compared too, and no ratio is printed when they differ.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rl.actors.trainer import TrainerActor, TrainerSpec
from rl.config.schema import ModelConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.models.nano import ensure_nano
from rl.samples import TokenBatch, supervised_batch

if TYPE_CHECKING:
    from torch import Tensor

OPTIM = OptimConfig(lr=1e-4)


def ragged_batch(rows: int, longest: int, vocabulary: int) -> TokenBatch:
    """Sequences with log-normal lengths between 16 and ``longest`` tokens, in random order."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(longest / 4), 0.6, size=rows), 16, longest).astype(int)
    return supervised_batch([(rng.integers(10, vocabulary, size=n).tolist(), 8) for n in lengths])


def by_length(batch: TokenBatch, max_tokens: int) -> list[list[int]]:
    """Rows sorted by length and cut into padded micro-batches of at most ``max_tokens``."""
    found: list[list[int]] = []
    for row in np.argsort(batch.lengths, kind="stable").tolist():
        if found and (len(found[-1]) + 1) * batch.lengths[row] <= max_tokens:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def padded(batch: TokenBatch, rows: list[int]) -> tuple[Tensor, Tensor]:
    """Right-padded ids [B, L] and the mask of the targets [B, L - 1]."""
    import torch

    shape = (len(rows), int(batch.lengths[rows].max()))
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    for place, row in enumerate(rows):
        span = slice(batch.offsets[row], batch.offsets[row + 1])
        ids[place, : batch.lengths[row]] = torch.from_numpy(batch.input_ids[span])
        mask[place, : batch.lengths[row]] = torch.from_numpy(batch.loss_mask[span])
    return ids, mask[:, 1:]


def bare_loop(path: Path, batch: TokenBatch, max_tokens: int) -> Callable[[], float]:
    """One update with only transformers and torch, on the same micro-batches; returns the loss."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=OPTIM.lr, betas=OPTIM.betas, weight_decay=OPTIM.weight_decay)
    micro_batches = [padded(batch, rows) for rows in by_length(batch, max_tokens)]

    def update() -> float:
        total = 0.0
        for ids, mask in micro_batches:
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1][mask]
            targets = ids[:, 1:][mask]
            loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / batch.num_targets
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIM.clip_grad)
        optimizer.step()
        optimizer.zero_grad()
        return total

    return update


def main(argv: Sequence[str] | None = None) -> int:
    """Print medians as JSON; 1 if the losses differ by more than 1e-5."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.engine", description="Engine against a bare loop.")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--longest", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--max-tokens", type=int, default=4096)
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        model = ModelConfig()
        path = ensure_nano(model.nano, 0, model.max_length, Path(folder))
        batch = ragged_batch(chosen.rows, chosen.longest, model.nano.vocab_size)
        spec = TrainerSpec(model, TrainerConfig(threads=1), str(path), "cpu", 0, 0, "shm", f"{folder}/weights")
        actor = TrainerActor(spec)
        actor.setup(*actor.rendezvous("127.0.0.1"))
        actor.begin_stage(OPTIM, chosen.rounds)
        bare = bare_loop(path, batch, chosen.max_tokens)

        def engine() -> float:
            metrics = actor.update(batch, None, max_tokens_per_microbatch=chosen.max_tokens)
            assert metrics is not None
            return metrics["loss"]

        contenders = {"engine": engine, "bare": bare}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        losses: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(chosen.rounds):
            for name in list(contenders)[:: 1 if turn % 2 else -1]:
                started = time.process_time()
                losses[name].append(contenders[name]())
                seconds[name].append(time.process_time() - started)
    difference = max(abs(a - b) for a, b in zip(losses["engine"], losses["bare"], strict=True))
    medians = {name: round(statistics.median(found[1:]), 4) for name, found in seconds.items()}
    report = {"tokens": len(batch.input_ids), "cpu_seconds": medians, "max_loss_difference": difference}
    if difference <= 1e-5:
        report["engine_over_bare"] = round(medians["engine"] / medians["bare"], 3)
    print(json.dumps(report, indent=1))
    return int(difference > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
