"""``python -m tools.bench.rewards``: verdicts per second of the standard mix of rules, in worker processes."""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from curricula.tasks import make_prompts
from rewards.pool import WorkerPool
from rewards.verdict import Sample

MIX = {"accuracy": 1.0, "format": 0.1, "rouge_l": 0.1, "language": 0.1, "repetition": 0.1, "citation": 0.1}
"""The standard mix: rules that fit any question."""
TASKS = ("charge", "limitation", "age", "governing_law", "recitation")


def completions(count: int) -> list[Sample]:
    """Demonstrations of five tasks, half of them with a wrong answer and four times the reasoning."""
    found = []
    for task in TASKS:
        for number, prompt in enumerate(make_prompts(task, "train", count // len(TASKS), seed=0, fewer_ok=True)):
            text = prompt.demonstration or ""
            if number % 2:
                thought, _, rest = text.partition("</think>")
                text = thought * 4 + "依据《刑法》第二百六十四条处理。</think>" + rest.replace("第", "地")
            found.append(Sample(prompt.messages[-1]["content"], text, prompt.reference, prompt.answer_kind))
    return (found * (count // len(found) + 1))[:count]


def measure(processes: int, samples: list[Sample], rounds: int) -> dict[str, float]:
    """Medians of completions and rule verdicts per second, and the workers' CPU-seconds for 1,000 rule verdicts."""
    pool = WorkerPool(processes)
    try:
        pool.score(samples[:200], MIX)  # starts the workers, loads statutes and segmenter
        supervisors = [psutil.Process(w._process.pid) for w in pool.workers if w._process is not None]
        workers = [one for supervisor in supervisors for one in (supervisor, *supervisor.children())]
        before = sum(sum(w.cpu_times()[:2]) for w in workers)
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            verdicts = pool.score(samples, MIX)
            seconds.append(time.perf_counter() - started)
            assert all(verdict.error is None for verdict in verdicts)
        used = sum(sum(w.cpu_times()[:2]) for w in workers) - before
    finally:
        pool.close()
    rate = len(samples) / statistics.median(seconds)
    return {
        "completions a second": rate,
        "rule verdicts a second": rate * len(MIX),
        "CPU-seconds for 1,000 rule verdicts": 1000 * used / (rounds * len(samples) * len(MIX)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.rewards", description="Throughput of the rules.")
    parser.add_argument("--samples", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(argv)
    samples = completions(chosen.samples)
    table = Table("worker processes", "completions/s", "rule verdicts/s", "CPU s per 1,000", box=box.SIMPLE_HEAD)
    for processes in (1, 2):
        found = list(measure(processes, samples, chosen.rounds).values())
        table.add_row(str(processes), f"{found[0]:,.0f}", f"{found[1]:,.0f}", f"{found[2]:.3f}")
    console = Console()
    console.print(f"{len(MIX)} rules: {', '.join(MIX)}")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
