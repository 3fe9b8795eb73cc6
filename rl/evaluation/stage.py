"""Benchmarks of an evaluation stage, which the policy of the run answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from rl.config.stages import EvaluateStage
from rl.errors import UserError
from rl.evaluation.asking import TaskRun, answer
from rl.evaluation.benchmark import Benchmark
from rl.files import write_json
from rl.inference.journal import Journal
from rl.inference.model_options import Sampling
from rl.records.task_figures import between, notes, percent, stage_figures

SETTINGS = ("root", "shots", "limit")
"""Keys of ``benchmarks`` that are not names of benchmarks."""
Tasks = list[tuple[Benchmark, list[TaskRun]]]


def read_benchmarks(stage: EvaluateStage) -> Tasks:
    """The benchmarks of a stage with the questions of their tasks.

    Raises:
        UserError: for an unknown benchmark or task, or missing or damaged data.
    """
    if not stage.benchmarks:
        return []
    from rl.evaluation.run_command import find_benchmark, read_tasks

    given: dict[str, Any] = stage.benchmarks
    root = Path(given["root"]).expanduser() if "root" in given else None
    found: Tasks = []
    for name in given:
        if name not in SETTINGS:
            benchmark = find_benchmark(name)
            if benchmark.name in {other.name for other, _ in found}:
                raise UserError(
                    f"stage {stage.name}: two benchmarks are named {benchmark.name}; give one of them another name"
                )
            tasks = read_tasks(benchmark, given[name], root, given.get("shots", 0), given.get("limit"))
            found.append((benchmark, tasks))
    return found


def answer_benchmarks(stage: EvaluateStage, journal: Journal, max_length: int, seed: int) -> Tasks:
    """The benchmarks of a stage with the answers to them, which stay in the journal's files; a question that is too
    long has none.

    All benchmarks are asked at once. Keys are ``<benchmark>.<task>/<question>``.
    """
    found = read_benchmarks(stage)
    runs = {f"{benchmark.name}.{task.name}": task for benchmark, tasks in found for task in tasks}
    if runs:
        answer(runs, journal, max_length, sampling_of(stage, seed))
    return found


def sampling_of(stage: EvaluateStage, seed: int) -> Sampling:
    """How a stage's answers are drawn: one for each question."""
    given = stage.sampling
    return Sampling(given.temperature, given.top_p, given.max_tokens, seed=seed)


def score_benchmarks(stage: EvaluateStage, found: Tasks, run_dir: Path, after: str) -> dict[str, float]:
    """Score the answers; returns metrics ``benchmark/<name>/<task>``.

    A summary goes to ``benchmarks.json`` of the run, where it replaces an earlier one of the same stage. Answers and
    scores go to ``benchmarks/<stage>/<benchmark>``, in the form of ``python -m rl.evaluate run``.
    """
    if not found:
        return {}
    from rl.evaluation.run_command import assess
    from rl.inference.json_lines import write_lines

    metrics: dict[str, float] = {}
    records: list[dict[str, Any]] = []
    for benchmark, tasks in found:
        out = run_dir / "benchmarks" / stage.name / benchmark.name
        head = {
            "benchmark": benchmark.name,
            "model": f"{run_dir.name} after {after}",
            "shots": stage.benchmarks.get("shots", 0),
            "samples": 1,
            **stage.sampling.model_dump(),
        }
        for task in tasks:
            prompts = {question.id: question.prompt for question in task.questions}
            write_lines(
                out / "answers" / f"{task.name}.jsonl",
                (
                    {"key": f"{task.name}/{name}", "prompt": prompts[name], "answers": [asdict(one) for one in answers]}
                    for name, answers in task.answers.items()
                ),
            )
        (out / "scores.json").unlink(missing_ok=True)
        scores = assess(benchmark, tasks, out, head, None)
        for name, figures in scores["tasks"].items():
            if figures["score"] is not None:
                metrics[f"benchmark/{benchmark.name}/{name}"] = figures["score"]
            records.append({"stage": stage.name, "after": after, "benchmark": benchmark.name, "task": name, **figures})
    kept = [record for record in stage_figures(run_dir) if record["stage"] != stage.name]
    write_json(run_dir / "benchmarks.json", kept + records)
    return metrics


def stage_table(run_dir: Path) -> Table | None:
    """The scores in ``benchmarks.json`` in percent, a row for each task and stage; None if there are none."""
    figures = stage_figures(run_dir)
    if not figures:
        return None
    shown = Table(title="Benchmarks (%, 95 % interval)", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("after", "benchmark", "task", "n", "score", "interval", "fixed", "note"):
        shown.add_column(name, justify="right" if name in ("n", "score", "interval", "fixed") else "left")
    for one in figures:
        cells = percent(one["score"]), between(one["interval"]), percent(one["fixed"])
        shown.add_row(one["after"], one["benchmark"], one["task"], str(one["n"]), *cells, "; ".join(notes(one)))
    return shown
