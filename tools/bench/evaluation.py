"""``python -m tools.bench.evaluation``: what follows the answers of a large evaluation.

The answers are made up; reading, scoring, intervals, files and pages are the real ones. The peak of memory is that of
all that was done so far.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rl.evaluation import report_command
from rl.evaluation.asking import TaskRun
from rl.evaluation.benchmark import Benchmark
from rl.evaluation.benchmarks.generic import load
from rl.evaluation.run_command import assess
from rl.evaluation.score_command import score_task
from rl.evaluation.statistics import compare
from rl.inference.backend import Answer
from rl.inference.json_lines import write_lines

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


def questions(folder: Path, count: int) -> Benchmark:
    """A benchmark of ``count`` questions a task, with its files in a folder."""
    (folder / "large.yaml").write_text(BENCHMARK, encoding="utf-8")
    rng = random.Random(0)
    for task in TASKS:
        answer = (lambda: rng.choice("ABCD")) if task == "choice" else (lambda: _text(rng))
        rows = ({"id": f"q{n}", "question": f"{n}号案。{_text(rng)}{ENDING}", "answer": answer()} for n in range(count))
        write_lines(folder / f"{task}.jsonl", rows)
    return load(folder / "large.yaml")


def _text(rng: random.Random) -> str:
    return "".join(rng.choices(WORDS, k=40))


def evaluation(folder: Path, count: int) -> dict[str, Callable[[], Any]]:
    """The pieces of work of an evaluation of ``count`` answers a task, by name."""
    benchmark, out, rng = questions(folder, count), folder / "out", random.Random(1)
    tasks = [TaskRun(task, benchmark.read(folder, task, 0)) for task in TASKS]
    for task in tasks:
        for question in task.questions:
            text = str(question.reference) if rng.random() < 0.6 else _text(rng)
            task.answers[question.id] = [Answer(text, completion_tokens=len(text))]
        lines = (
            {"key": f"{task.name}/{one.id}", "prompt": one.prompt, "answers": [{"text": task.answers[one.id][0].text}]}
            for one in task.questions
        )
        write_lines(out / "answers" / f"{task.name}.jsonl", lines)
    head = {"benchmark": benchmark.name, "model": "made up", "shots": 0, "samples": 1, "temperature": 0.0}
    one, other = ({str(n): rng.random() for n in range(count)} for _ in range(2))
    return {
        "scores, intervals, files": lambda: assess(benchmark, tasks, out, head, None),
        "page of the evaluation": lambda: report_command.write([out], out / "evaluation.html"),
        "predictions matched by prompts": lambda: score_task(
            benchmark, "choice", out / "answers" / "choice.jsonl", folder
        ),
        "two models compared": lambda: compare(one, other),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.evaluation", description="What follows the answers.")
    parser.add_argument(
        "--records", type=int, nargs="+", default=[10_000, 100_000], help="answers of each of two tasks"
    )
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(argv)
    table = Table("what", "of", "CPU s", "peak so far, MB", box=box.SIMPLE_HEAD)
    for count in chosen.records:
        with tempfile.TemporaryDirectory() as folder:
            for name, do in evaluation(Path(folder), count).items():
                started = time.process_time()
                do()
                seconds = time.process_time() - started
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                table.add_row(name, f"{count:,}", f"{seconds:.1f}", f"{peak:,.0f}")
                if chosen.json:
                    print(json.dumps({"what": name, "of": count, "cpu_s": round(seconds, 2), "peak_mb": round(peak)}))
    if not chosen.json:
        Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
