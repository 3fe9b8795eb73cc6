"""``python -m tools.bench.context``: what a rank keeps of a long row for its backward pass, with context parallelism.

One update of the nano model on one row, over one rank and over more. Everything that autograd keeps is counted, each
storage once while it is kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tools.bench.models import nano


class Saved:
    """Counts the storages that autograd keeps for the backward pass, each once, while they are kept (bytes)."""

    def __init__(self, weights: set[tuple[int, ...]]) -> None:
        """Tensors of the shapes ``weights`` are not counted."""
        self.weights, self.peak = weights, 0
        self.kept: dict[int, tuple[int, int]] = {}

    def pack(self, tensor: Any) -> Any:
        """A tensor that autograd keeps."""
        return tensor if tuple(tensor.shape) in self.weights else _Kept(self, tensor)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Within it, tensors are counted."""
        from torch.autograd.graph import saved_tensors_hooks

        with saved_tensors_hooks(self.pack, lambda one: getattr(one, "tensor", one)):
            yield


class _Kept:
    """One saved tensor."""

    def __init__(self, saved: Saved, tensor: Any) -> None:
        storage = tensor.untyped_storage()
        self.saved, self.tensor, self.key = saved, tensor, storage.data_ptr()
        number, size = saved.kept.get(self.key, (0, storage.nbytes()))
        saved.kept[self.key] = (number + 1, size)
        saved.peak = max(saved.peak, sum(size for _, size in saved.kept.values()))

    def __del__(self) -> None:
        number, size = self.saved.kept.pop(self.key)
        if number > 1:
            self.saved.kept[self.key] = (number - 1, size)


def weights_of(module: Any) -> set[tuple[int, ...]]:
    """The shapes of a model's parameters, also transposed."""
    shapes = {tuple(parameter.shape) for parameter in module.parameters()}
    return shapes | {shape[::-1] for shape in shapes}


def measure(ranks: int, tokens: int, folder: Path) -> list[int]:
    """Bytes that each rank keeps at most."""
    context = multiprocessing.get_context("spawn")
    model = str(nano(folder))
    pipes = [context.Pipe() for _ in range(ranks)]
    processes = [
        context.Process(target=_rank, args=(rank, ranks, model, tokens, there), daemon=True)
        for rank, (_, there) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    place = pipes[0][0].recv()
    for here, _ in pipes[1:]:
        here.send(place)
    found: list[int] = [here.recv() for here, _ in pipes]
    for process in processes:
        process.join()
    return found


def _rank(rank: int, ranks: int, model: str, tokens: int, pipe: Any) -> None:
    import numpy as np

    from rl.actors.trainer import TrainerActor, TrainerSpec
    from rl.config.schema import ModelConfig, TrainerConfig
    from rl.config.stages import OptimConfig
    from rl.samples import supervised_batch

    trainer = TrainerConfig(threads=1, engine="megatron", context_parallel=ranks, world_size=ranks)
    shared = str(Path(model).parent / "shared")
    actor = TrainerActor(TrainerSpec(ModelConfig(path=model), trainer, model, "cpu", 0, rank, "shm", shared))
    if rank == 0:
        place = actor.rendezvous("127.0.0.1")
        pipe.send(place)
    else:
        place = pipe.recv()
    actor.setup(*place)
    actor.begin_stage(OptimConfig(lr=1e-9), 10**6)
    engine: Any = actor.engine
    saved = Saved(weights_of(engine._model.module))
    row = np.random.default_rng(0).integers(10, 3000, size=tokens).tolist()
    with saved.counting():
        actor.accumulate(supervised_batch([(row, 1)]), None, max_tokens_per_microbatch=tokens)
    actor.step()
    pipe.send(saved.peak)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.context", description="Memory of a long row.")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    chosen = parser.parse_args(argv)
    title = f"One row of {chosen.tokens:,} tokens: kept for the backward pass"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for column in ("trainer.context_parallel", "MiB of a rank", "share of one rank's"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        found = {ranks: max(measure(ranks, chosen.tokens, Path(folder))) for ranks in chosen.ranks}
    for ranks, size in found.items():
        table.add_row(str(ranks), f"{size / 2**20:.1f}", f"{size / found[chosen.ranks[0]]:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
