"""``python -m tools.bench.evaluation``: what a large evaluation costs beside its model.

The model is made up; reading, asking, journal, scoring, intervals, files and pages are the real ones. Every size is
measured in a process of its own, and its peak of memory is that of all that was done so far. The exponent is the slope
in log-log scale: 1 is linear.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rl.evaluation import report_command
from rl.evaluation.asking import TaskRun, answer
from rl.evaluation.benchmark import Benchmark
from rl.evaluation.benchmarks.generic import load
from rl.evaluation.run_command import assess
from rl.evaluation.score_command import score_task
from rl.evaluation.statistics import compare
from rl.inference.backend import Answer, Ask, Messages
from rl.inference.journal import Journal
from rl.inference.json_lines import write_lines
from rl.inference.model_options import Sampling
from tools.bench.growth import WIDTH, table

TASKS = {"choice": "choice", "text": "rouge_l"}
"""Tasks and their metrics: one whose scores are 0 or 1, and one whose scores are all different."""
BENCHMARK = """
name: large
title: Large
source: made up
tasks:
""" + "".join(
    f'  {task}: {{file: {task}.jsonl, prompt: "{{question}}", reference: answer, metric: {metric}, id: id}}\n'
    for task, metric in TASKS.items()
)
ENDING = "根据上述事实和有关法律规定，下列说法正确的是？"
"""How all questions end, as those of examinations do."""
WORDS = "本院认为被告人以非法占有为目的秘密窃取他人财物数额较大其行为已构成盗窃罪应依法追究刑事责任"
THINKING = 1_500
"""Characters of the thinking before an answer."""
STEP_RECORDS = 12_500


def questions(folder: Path, count: int) -> Benchmark:
    """A benchmark of ``count`` questions a task, with its files in a folder."""
    (folder / "large.yaml").write_text(BENCHMARK, encoding="utf-8")
    rng = random.Random(0)
    for task in TASKS:
        rows = (
            {"id": f"q{n}", "question": f"{n}号案。{_text(rng)}{ENDING}", "answer": _right(task, n)}
            for n in range(count)
        )
        write_lines(folder / f"{task}.jsonl", rows)
    return load(folder / "large.yaml")


def _text(rng: random.Random) -> str:
    return "".join(rng.choices(WORDS, k=40))


def _right(task: str, number: int) -> str:
    rng = random.Random(number)
    return rng.choice("ABCD") if task == "choice" else _text(rng)


class MadeUp:
    """A backend that answers at once, three of five questions right."""

    def __init__(self) -> None:
        self._rng = random.Random(1)
        self._thoughts = "".join(self._rng.choices(WORDS, k=100 * THINKING))

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """Answer all."""
        for ask in asks:
            task, _, name = ask.key.partition("/")
            text = _right(task, int(name[1:])) if self._rng.random() < 0.6 else _text(self._rng)
            at = self._rng.randrange(len(self._thoughts) - THINKING)
            done(ask, [Answer(text, self._thoughts[at : at + THINKING], completion_tokens=len(text) + THINKING)])

    def count_tokens(self, messages: Messages) -> int:
        """A token for each character."""
        return sum(len(content) for _, content in messages)

    def close(self) -> None:
        """Nothing is open."""


def evaluation(folder: Path, count: int) -> dict[str, Callable[[], Any]]:
    """The pieces of work of an evaluation of ``count`` answers a task, by name."""
    benchmark, out, rng = questions(folder, count), folder / "out", random.Random(1)
    tasks: list[TaskRun] = []

    def ask() -> None:
        tasks.extend(TaskRun(task, benchmark.read(folder, task, 0)) for task in TASKS)
        journal = Journal(MadeUp(), out / "answers")
        answer({task.name: task for task in tasks}, journal, 8_192, Sampling())

    head = {"benchmark": benchmark.name, "model": "made up", "shots": 0, "samples": 1, "temperature": 0.0}

    def two() -> None:
        one, other = ({str(n): rng.random() for n in range(count)} for _ in range(2))
        compare(one, other)

    return {
        "imports": lambda: None,
        "questions read, asked, answers in the journal": ask,
        "scores, intervals, files": lambda: assess(benchmark, tasks, out, head, None),
        "page of the evaluation": lambda: report_command.write([out], out / "evaluation.html"),
        "predictions matched by prompts": lambda: score_task(
            benchmark, "choice", out / "answers" / "choice.jsonl", folder
        ),
        "two models compared": two,
    }


def measured(count: int) -> dict[str, dict[str, float]]:
    """CPU-seconds of each piece of work in this process, and the peak of memory after it (MB)."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, do in evaluation(Path(folder), count).items():
            started = time.process_time()
            do()
            seconds = time.process_time() - started
            found[name] = {
                "cpu_s": seconds,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.evaluation", description="A large evaluation.")
    parser.add_argument(
        "--records", type=int, nargs="+", default=[STEP_RECORDS << n for n in range(4)],
        help="answers of each of two tasks",
    )  # fmt: skip
    parser.add_argument("--one", action="store_true", help="measure the first size in this process; print JSON")
    chosen = parser.parse_args(argv)
    sizes: list[int] = chosen.records
    if chosen.one:
        print(json.dumps(measured(sizes[0])))
        return 0
    found = []
    for size in sizes:
        command = [sys.executable, "-m", "tools.bench.evaluation", "--one", "--records", str(size)]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(f"{size:,}: {line}", end="", file=sys.stderr, flush=True)
        found.append(json.loads(line))
    for name in found[0]:
        Console(width=WIDTH).print(table(name, sizes, [[one[name]] for one in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
