"""``python -m tools.bench.growth``: how the cost of a run grows with its data, its steps and its completions.

Each thing is measured at four sizes, each twice as large as the one before and each in processes of its own:

    prompts          a start over so many prompts for GRPO: reading, checking, measuring against the limit
    demonstrations   the same for SFT
    parquet          a start over so many demonstrations in Parquet, in groups of 10,000 rows
    step             what the driver does to draw 32 demonstrations and 32 prompts for a step, out of so many
    tokenizer        what the tokenizer alone needs for the texts of so many demonstrations, in one process
    report           the HTML page of a run of so many steps
    dump             the rollout file of a step of so many completions

A start is made twice, the second time by another process that finds what the first has kept. Texts are pieces of
statutes: 300 characters a prompt, 300 more a demonstration. CPU-seconds are those of all processes and threads; memory
is what all processes together hold at most (proportional set size), and what is held before the measured part. The
exponent e is the slope in log-log scale: the cost grows with the size to the power of e, and 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

DOUBLINGS = 3
LARGEST = {
    "prompts": 80_000, "demonstrations": 80_000, "parquet": 80_000, "step": 80_000, "tokenizer": 8_000,
    "report": 10_000, "dump": 4_096,
}  # fmt: skip
"""Things, and the largest size of each."""
TWICE = ("prompts", "demonstrations")
CHARACTERS = 300
"""Of a question, and of an answer."""
GROUP = 10_000
"""Rows of a group in a Parquet file."""
LIMIT = 2048
"""Most tokens of a prompt or demonstration."""
DRAWN = 32
STEPS = 21
TOKENS = 256
"""Of a completion in a rollout file."""
WIDTH = 140
"""Of the table (characters)."""
SAMPLE_S = 0.1
"""How often memory is looked at (seconds)."""

Cost = dict[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table for each thing; 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.growth", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", choices=LARGEST, action="append", help="a thing; may be given again")
    parser.add_argument("--largest", type=int, help="the largest size, instead of that of each thing")
    parser.add_argument("--doublings", type=int, default=DOUBLINGS, help="from the smallest size to the largest")
    parser.add_argument("--limit", type=int, default=LIMIT, help="most tokens of a prompt or demonstration")
    parser.add_argument("--one", type=Path, help="measure the largest size in this process, in this folder; print JSON")
    chosen = parser.parse_args(argv)
    for name in chosen.only or LARGEST:
        largest = chosen.largest or LARGEST[name]
        if chosen.one is not None:
            print(json.dumps(_measured(name, chosen.one, largest, chosen.limit)))
            continue
        sizes = [largest >> shift for shift in range(chosen.doublings, -1, -1)]
        Console(width=WIDTH).print(table(name, sizes, [started(name, size, chosen.limit) for size in sizes]))
    return 0


def started(name: str, size: int, limit: int) -> list[Cost]:
    """The costs of the first start, and of the second if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tools.bench.growth", "--only", name, "--largest", str(size)]
        command += ["--limit", str(limit), "--one", folder]
        return [_watched(command) for _ in range(2 if name in TWICE else 1)]


def _watched(command: Sequence[str]) -> Cost:
    """What a measuring process prints, with the memory that it and its processes held at most (MB)."""
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, _held(process.pid))
            time.sleep(SAMPLE_S)
        assert process.stdout is not None
        answer = process.stdout.read()
    if process.returncode:
        raise SystemExit(process.returncode)
    found: Cost = json.loads(answer.splitlines()[-1])
    return found | {"peak_mb": max(peak, found["peak_mb"])}


def _held(pid: int) -> float:
    total = 0
    try:
        whole = psutil.Process(pid)
        for process in (whole, *whole.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:  # one has just ended
        pass
    return total / 2**20


def _measured(name: str, folder: Path, size: int, limit: int) -> Cost:
    """The cost of a thing in this process, without that of its making."""
    from rl.data import kept_arrays

    kept_arrays.FOLDER = folder / "kept"
    work = {
        "prompts": _start, "demonstrations": _start, "parquet": _start, "step": _step, "tokenizer": _tokenizer,
        "report": _report, "dump": _dump,
    }[name]  # fmt: skip
    measured = work(name, folder, size, limit)
    before, wall, cpu = psutil.Process().memory_info().rss / 2**20, time.perf_counter(), _cpu()
    found = measured() or {}
    cost = {"wall_s": time.perf_counter() - wall, "cpu_s": _cpu() - cpu, "before_mb": before}
    return cost | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10} | found


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


Measured = Callable[[], Cost | None]


def _start(name: str, folder: Path, size: int, limit: int) -> Measured:
    from rl.data.lengths import longer, while_read
    from rl.data.prompt_files import demonstrations_of, prompts_of

    path = _packed(folder / "data.parquet", size) if name == "parquet" else written(folder / "data.jsonl", size)
    tokenizer = _nano()

    def measured() -> None:
        whole = name != "prompts"
        look = while_read(tokenizer, limit, whole=whole)
        rows = demonstrations_of(path, look) if whole else prompts_of(path, look)
        assert len(rows) == size
        longer(tokenizer, rows, limit, whole=whole)

    return measured


def _step(name: str, folder: Path, size: int, limit: int) -> Measured:
    from curricula.sampler import Sampler
    from rl.data.prompt_files import demonstrations_of, prompts_of
    from rl.data.tokens import encode_demonstrations
    from rl.models.chat import render_prompt
    from rl.stages.sft import rows_at

    path, tokenizer = written(folder / "data.jsonl", size), _nano()
    given, asked = demonstrations_of(path), prompts_of(path)
    sampler = Sampler({"f": 1.0}, {"f": asked}, 0, difficulty=0.5)

    def measured() -> Cost:
        times = []
        for step in range(STEPS):
            began = time.process_time()
            encode_demonstrations(tokenizer, [given[row] for row in rows_at(step * DRAWN, DRAWN, size, 0)])
            for index in range(step * DRAWN, (step + 1) * DRAWN):
                render_prompt(tokenizer, sampler.at(index).messages)
                sampler.observe(index, [1.0, 0.0], [1.0, 0.0])
            times.append(time.process_time() - began)
        return {"first_ms": 1000 * times[0], "later_ms": 1000 * statistics.median(times[1:])}

    return measured


def _tokenizer(name: str, folder: Path, size: int, limit: int) -> Measured:
    from rl.data.tokens import CHUNK

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer, records = _nano(), list(_records(size))
    texts = [record[field] for record in records for field in ("prompt", "demonstration")]

    def measured() -> None:
        for at in range(0, len(texts), CHUNK):
            tokenizer(texts[at : at + CHUNK], add_special_tokens=False, verbose=False)

    return measured


def _report(name: str, folder: Path, size: int, limit: int) -> Measured:
    from rl.config.compose import load
    from rl.config.schema import TrackerConfig
    from rl.records.manifest import Manifest
    from rl.records.tracking import Tracker
    from rl.report.page import write_report

    stage = {"name": "all", "kind": "grpo", "steps": size, "tasks": {"age": 1.0, "charge": 1.0}}
    config = load({"run_dir": str(folder / "run"), "curriculum": {"name": "c", "stages": [stage]}})
    Manifest.open(folder / "run", config)
    tracker = Tracker(folder / "run", TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    rng = random.Random(0)
    names = (
        "reward", "reward/accuracy", "reward/format", "loss", "grad_norm", "lr", "completion_length", "truncated",
        "staleness", "groups/sampled", "groups/zero_variance", "groups/errored", "groups/trained", "entropy",
        "log_prob_difference", "task/age/reward", "task/age/accuracy", "task/charge/reward", "task/charge/accuracy",
    )  # fmt: skip
    for step in range(size):
        tracker.log("all", step, {one: rng.random() for one in names}, sampler_busy_s=0.0)

    def measured() -> None:
        write_report(folder / "run")

    return measured


def _dump(name: str, folder: Path, size: int, limit: int) -> Measured:
    from curricula.prompts import ask
    from rl.config.schema import TrackerConfig
    from rl.records.rollouts import rows
    from rl.records.tracking import Tracker
    from rl.samples import Completion, Group

    tracker = Tracker(folder, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    numbers = np.random.default_rng(0)
    groups = []
    for number, record in enumerate(_records(size // 8)):
        completions = [
            Completion(
                numbers.integers(0, 2000, TOKENS), -numbers.random(TOKENS).astype(np.float32),
                record["demonstration"], "stop", 0,
            )
            for _ in range(8)
        ]  # fmt: skip
        prompt = ask("t", record["prompt"], record["reference"])
        parts = [{"accuracy": 1.0}] * 8
        groups.append(Group(f"{number}", prompt, list(range(TOKENS)), completions, [1.0] * 8, parts))

    def measured() -> None:
        tracker.dump_groups("s", 0, [row for group in groups for row in rows(group, 0)])
        tracker.wait()

    return measured


def _nano() -> Any:
    from rl.models.chat import load_tokenizer
    from tools.bench.models import nano

    return load_tokenizer(str(nano(Path(".cache/models"))))


def written(path: Path, rows: int) -> Path:
    """A file of so many rows, if there is none: prompts with references and demonstrations."""
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in _records(rows))
    return path


def _packed(path: Path, rows: int) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    records, writer = _records(rows), None
    while some := list(islice(records, GROUP)):
        table = pa.Table.from_pylist(some)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return path


def _records(count: int) -> Iterator[dict[str, str]]:
    """Records that are no two alike, the same for every count."""
    from curricula.statutes import load_statutes, use_law

    use_law()
    text = "".join(article.text for law in ("刑法", "民法典") for article in load_statutes().articles(law))
    rng = random.Random(0)
    for number in range(count):
        asked, answered = (text[at : at + CHARACTERS] for at in rng.choices(range(len(text) - CHARACTERS), k=2))
        law = f"刑法第{number % 400}条"
        answer = f"<think>{answered}</think><answer>{law}</answer>"
        yield {"prompt": f"第{number}案。{asked}", "reference": law, "demonstration": answer}


def table(name: str, sizes: Sequence[int], costs: Sequence[Sequence[Cost]]) -> Table:
    """Figures by size, and the exponents below; a second start stands beside the first."""
    made = Table(title=name, box=box.SIMPLE)
    made.add_column("size", justify="right")
    columns = [
        (f"{'2nd: ' * start}{what.replace('_', ' ')}", [cost[start][what] for cost in costs])
        for start in range(len(costs[0]))
        for what in costs[0][start]
    ]
    for title, _ in columns:
        made.add_column(title, justify="right")
    for at, size in enumerate(sizes):
        made.add_row(
            f"{size:,}",
            *(f"{values[at]:,.0f}" if "MB" in title.upper() else f"{values[at]:.2f}" for title, values in columns),
        )
    if len(sizes) > 1:
        made.add_row(
            "exponent", *("" if "before" in title else f"{_exponent(sizes, values):.2f}" for title, values in columns)
        )
    return made


def _exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Slope of the least-squares line through log values over log sizes."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-3)), 1)[0])


if __name__ == "__main__":
    sys.exit(main())
