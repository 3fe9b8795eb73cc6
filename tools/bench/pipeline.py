"""``python -m tools.bench.pipeline``: how long the stages of a pipeline wait for each other.

Both with one micro-batch after the other filled, and with those that the Megatron engine chooses. The forward and the
backward pass of every micro-batch is measured on every stage, in CPU-seconds, which waiting does not count. From
these times and the order of work (1F1B) follows when each stage works. The bubble is the share of all stages' time in
which they wait.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tools.bench.models import nano
from tools.bench.our_worker import ALGORITHM, batch_of
from tools.bench.workloads import CASES, Workload, frozen

Times = list[list[float]]
"""Seconds by stage and micro-batch."""
LIMIT = 16384
"""Most tokens of a micro-batch."""


def schedule(forward: Times, backward: Times) -> float:
    """Seconds until the last stage of a 1F1B pipeline is done."""
    stages, count = len(forward), len(forward[0])
    work = [list(_order(stages - stage - 1, count)) for stage in range(stages)]
    done: dict[tuple[str, int, int], float] = {}
    free = [0.0] * stages
    while any(work):
        for stage, rest in enumerate(work):
            while rest:
                kind, micro = rest[0]
                before = (kind, stage - 1 if kind == "F" else stage + 1, micro)
                if 0 <= before[1] < stages and before not in done:
                    break
                seconds = (forward if kind == "F" else backward)[stage][micro]
                free[stage] = done[kind, stage, micro] = max(free[stage], done.get(before, 0.0)) + seconds
                del rest[0]
    return max(free)


def _order(ahead: int, count: int) -> Iterator[tuple[str, int]]:
    """What a stage does that is ``ahead`` of the last one: forward passes first, then one of each in turn."""
    first = min(ahead, count)
    yield from (("F", micro) for micro in range(first))
    for micro in range(count):
        if first + micro < count:
            yield "F", first + micro
        yield "B", micro


def bubble(forward: Times, backward: Times) -> float:
    """The share of all stages' time in which they wait."""
    busy = sum(map(sum, forward)) + sum(map(sum, backward))
    return 1 - busy / (len(forward) * schedule(forward, backward))


def measure(case: Workload, stages: int, rounds: int, folder: Path) -> dict[str, tuple[Times, Times]]:
    """Medians of forward and backward seconds, ``filled`` and as ``chosen`` by the engine."""
    context = multiprocessing.get_context("spawn")
    model = str(nano(folder))
    pipes = [context.Pipe() for _ in range(stages)]
    processes = [
        context.Process(target=_stage, args=(rank, stages, model, case, rounds, there), daemon=True)
        for rank, (_, there) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    place = pipes[0][0].recv()
    for here, _ in pipes[1:]:
        here.send(place)
    answers: list[dict[str, tuple[list[float], list[float]]]] = [here.recv() for here, _ in pipes]
    for process in processes:
        process.join()
    return {name: ([a[name][0] for a in answers], [a[name][1] for a in answers]) for name in answers[0]}


def _stage(rank: int, stages: int, model: str, case: Workload, rounds: int, pipe: Any) -> None:
    """One rank: its seconds by micro-batch."""
    from unittest import mock

    from rl.actors.trainer import TrainerActor, TrainerSpec
    from rl.config.schema import ModelConfig, TrainerConfig
    from rl.config.stages import OptimConfig
    from rl.engines import layout

    trainer = TrainerConfig(threads=1, engine="megatron", pipeline_parallel=stages, world_size=stages)
    shared = str(Path(model).parent / "shared")
    actor = TrainerActor(TrainerSpec(ModelConfig(path=model), trainer, model, "cpu", 0, rank, "shm", shared))
    if rank == 0:
        place = actor.rendezvous("127.0.0.1")
        pipe.send(place)
    else:
        place = pipe.recv()
    actor.setup(*place)
    actor.begin_stage(OptimConfig(lr=1e-9), 10**6)
    from rl.engines.megatron.engine import get_forward_backward_func

    schedules = sys.modules[get_forward_backward_func.__module__]
    batch, found = batch_of(frozen(case)), {}
    whole = layout.plan
    for name, plan in {"filled": lambda rows, limit, _: whole(rows, limit), "chosen": whole}.items():
        turns: list[tuple[list[float], list[float]]] = []
        for _ in range(rounds):
            with (
                mock.patch.object(layout, "plan", plan),
                timed(schedules, "forward_step") as forward,
                timed(schedules, "backward_step") as backward,
            ):
                actor.update(batch, ALGORITHM, max_tokens_per_microbatch=LIMIT, max_completion_tokens=case.longest)
            turns.append((forward, backward))
        kept = turns[1:]
        found[name] = tuple(
            [statistics.median(turn[way][micro] for turn in kept) for micro in range(len(kept[0][way]))]
            for way in (0, 1)
        )
    pipe.send(found)


@contextmanager
def timed(module: Any, name: str) -> Iterator[list[float]]:
    """The CPU-seconds of each call of a function, in order."""
    original: Callable[..., Any] = getattr(module, name)
    seconds: list[float] = []

    def call(*arguments: Any, **keywords: Any) -> Any:
        started = time.process_time()
        try:
            return original(*arguments, **keywords)
        finally:
            seconds.append(time.process_time() - started)

    setattr(module, name, call)
    try:
        yield seconds
    finally:
        setattr(module, name, original)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.pipeline", description="Waiting in a pipeline.")
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    chosen = parser.parse_args(argv)
    title = f"Pipeline of {chosen.stages} stages on frozen rollouts (CPU-seconds an update)"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for column in ("case", "micro-batches", "how many", "stages work", "done after", "bubble"):
        table.add_column(column, justify="left" if column in ("case", "micro-batches") else "right")
    with tempfile.TemporaryDirectory() as folder:
        for case in (one for one in CASES if one.name in (chosen.case or [c.name for c in CASES])):
            for name, (forward, backward) in measure(case, chosen.stages, chosen.rounds, Path(folder)).items():
                work = " / ".join(f"{sum(f) + sum(b):.3f}" for f, b in zip(forward, backward, strict=True))
                done, share = schedule(forward, backward), bubble(forward, backward)
                table.add_row(case.name, name, str(len(forward[0])), work, f"{done:.3f}", f"{100 * share:.0f} %")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
