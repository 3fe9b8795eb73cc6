"""``python -m rl.evaluate list``: benchmarks and their tasks, and whether their data is there."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from curricula.command import command, program
from rl.errors import UserError
from rl.evaluation import own
from rl.evaluation.benchmark import Benchmark
from rl.evaluation.benchmark_files import MissingData
from rl.evaluation.benchmarks import BENCHMARKS, find, folder_of
from rl.evaluation.score_command import notes


@command(UserError)
def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 for an unknown benchmark."""
    parser = argparse.ArgumentParser(prog=program("rl.evaluate list"), description="Benchmarks and their data.")
    parser.add_argument("--root", type=Path, help="folder with a folder for each benchmark")
    parser.add_argument("--benchmark", action="append", help="only this one (several times for several)")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    chosen = parser.parse_args(argv)
    names = chosen.benchmark or [*BENCHMARKS, own.NAME]
    benchmarks = [own.BENCHMARK if name == own.NAME else find(name) for name in names]
    found = {one.name: {task: state(one, task, chosen.root) for task in one.tasks} for one in benchmarks}
    if chosen.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    for one in benchmarks:
        table = Table("task", "", "data", "note", title=f"{one.name}: {one.title}", caption=one.source)
        for task, title in one.tasks.items():
            table.add_row(task, title, found[one.name][task], notes(one, task))
        Console().print(table)
    return 0


def state(benchmark: Benchmark, task: str, root: Path | None) -> str:
    """``N questions`` where the data is there, else why not. Empty without a root, except for our own questions, which
    need no data."""
    if root is None and benchmark.name != own.NAME:
        return ""
    try:
        return f"{len(benchmark.read(folder_of(root, benchmark) if root else Path(), task, 0))} questions"
    except MissingData:
        return "missing"
    except UserError as error:
        return f"damaged: {error}"
