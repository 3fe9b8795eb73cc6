"""``python -m rl.evaluate run``: ask a model the questions of a benchmark, and score its answers.

python -m rl.evaluate run --benchmark lawbench --tasks 1-2 3-6 --root DIR --model FOLDER --out DIR
python -m rl.evaluate run --benchmark lexeval --root DIR --server URL --served-model NAME --out DIR --judge URL \
    --judge-model NAME
python -m rl.evaluate run --benchmark held_out --tasks age exam_single --model FOLDER --out DIR

After an interruption the same command continues where it stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from curricula.command import command, program, resumable
from curricula.statutes import law_read
from curricula.statutes.options import add_law
from rewards.judge.options import add_judge
from rl.errors import USER_ERRORS, UserError
from rl.evaluation import judging, own
from rl.evaluation.asking import TaskRun, answer
from rl.evaluation.benchmark import Benchmark
from rl.evaluation.options import Options, Parser, words
from rl.evaluation.scoring import require_references
from rl.evaluation.task_scores import Tally, as_json, predictions, save_answers, score, table, unscored
from rl.files import write_json
from rl.inference.journal import BATCH, Journal, OpenFolder
from rl.inference.model_options import (
    Sampling,
    Sized,
    add_model,
    add_sampling,
    identity,
    kind_of,
    open_backend,
    positive,
    sampling_of,
    use_law_of,
)
from rl.inference.progress import Metered, Pace
from rl.language import Lang, Text, add_lang, say, sayer
from rl.records.task_figures import Scores, read_scores

ROOT_ENV = "THEMIS_BENCHMARKS"
"""Environment variable that names the folder of the benchmarks' data, where --root is not given."""


def find_benchmark(name: str, tasks: Sequence[str] = ()) -> Benchmark:
    """A benchmark by its name or by the path of its YAML file; also the held-out questions of our own tasks, and of
    those of ``tasks`` that are ``module:function``.

    Raises:
        UserError: if there is none.
    """
    if name == own.NAME:
        return own.with_tasks(tasks)
    from rl.evaluation.benchmarks import find

    return find(name)


def read_tasks(
    benchmark: Benchmark,
    tasks: Sequence[str],
    root: Path | None,
    shots: int,
    limit: int | None,
    notice: Callable[[str], None] = lambda text: None,
) -> list[TaskRun]:
    """The questions of tasks.

    Without names these are those of the task ``all``, or else of every task; tasks without data are then left out, with
    a notice.

    Raises:
        UserError: for an unknown task, damaged data, questions without a reference, or missing data (without names: if
            no task has data).
    """
    unknown = [task for task in tasks if task not in benchmark.tasks]
    if unknown:
        raise UserError(f"{benchmark.title} has no task {unknown[0]}; its tasks are {', '.join(benchmark.tasks)}")
    folder = _folder(benchmark, root)
    every = ["all"] if "all" in benchmark.tasks else list(benchmark.tasks)
    found: list[TaskRun] = []
    missing: dict[str, UserError] = {}
    for task in tasks or every:
        try:
            questions = benchmark.read(folder, task, shots)
            require_references(benchmark, task, questions, folder)
            found.append(TaskRun(task, questions[:limit]))
        except UserError as error:
            if tasks:
                raise
            from rl.evaluation.benchmark_files import MissingData

            if not isinstance(error, MissingData):
                raise
            missing[task] = error
    if not found:
        raise next(iter(missing.values()))
    if missing:
        first = next(iter(missing.values()))
        notice(
            Text(
                "left out because their data are missing: tasks {tasks}; {first}",
                tasks=", ".join(missing),
                first=first.args[0],
            )
        )
    return found


def _folder(benchmark: Benchmark, root: Path | None) -> Path:
    if benchmark.name == own.NAME:
        return Path()
    root = root or (Path(os.environ[ROOT_ENV]) if ROOT_ENV in os.environ else None)
    if root is None:
        raise UserError(
            f"{benchmark.title} needs its data: give --root (or {ROOT_ENV}), the folder that holds {benchmark.name}. "
            f"Its authors publish it at {benchmark.source}"
        )
    from rl.evaluation.benchmarks import folder_of

    return folder_of(root, benchmark)


def assess(
    benchmark: Benchmark, tasks: Sequence[TaskRun], out: Path, head: Mapping[str, Any], judge: Any | None
) -> dict[str, Any]:
    """Score the tasks, have a judge mark those that need one, and write scores.json and the files of ``scored/``.

    scores.json keeps the tasks that an earlier call with the same folder has scored.
    """
    path = out / "scores.json"
    found: dict[str, dict[str, Any]] = read_scores(out)["tasks"] if path.is_file() else {}
    for task in tasks:
        counts = {"n": len(task.questions), "too_long": task.too_long, "shots_left_out": task.shots_left_out}
        tally = Tally.of(task.answers)
        try:
            scored = score(benchmark, task.name, task.questions, task.answers, tally.samples)
        except UserError as error:  # the answers stay on the disk, and the other tasks are scored
            found[task.name] = unscored(benchmark, task.name, tally, error.args[0]) | counts
            continue
        marks = None
        if judge is not None and task.name in benchmark.judged:
            given = predictions(task.questions, task.answers)
            marks = judging.judge(benchmark, task.name, task.questions, given, judge)
            judging.save(out / "verdicts" / f"{task.name}.jsonl", task.questions, marks)
        save_answers(out / "scored" / f"{task.name}.jsonl", task.questions, task.answers, scored, marks)
        found[task.name] = as_json(benchmark, task.name, scored, tally, marks) | counts
    ordered = {name: found[name] for name in benchmark.tasks if name in found}
    known = [task for task in ordered.values() if task["score"] is not None]
    scores = {
        **head,
        "title": benchmark.title,
        "tasks": ordered,
        "average": sum(task["score"] for task in known) / len(known) if known else None,
        "average_fixed": sum(task["fixed"] for task in known) / len(known) if known else None,
    }
    write_json(path, scores)
    return scores


@command(*USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 after a message when something is missing or does not fit."""
    chosen = _options_of(
        argparse.ArgumentParser(prog=program("rl.evaluate run"), description="Evaluate a model on a benchmark."), argv
    )
    with resumable(chosen.out):
        _run(chosen)
    return 0


def run(benchmark: str, out: str | Path, options: Options) -> Scores:
    """The command from Python (:func:`rl.evaluation.evaluate`)."""
    chosen = _options_of(
        Parser(prog=program("rl.evaluate run")), [f"--benchmark={benchmark}", f"--out={out}", *words(options)]
    )
    _run(chosen)
    return cast(Scores, read_scores(chosen.out))


def _options_of(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    parser.add_argument("--benchmark", required=True, help=f"name, a YAML file, or {own.NAME} for our own questions")
    parser.add_argument("--tasks", nargs="+", default=[], help="default: all of the benchmark")
    parser.add_argument("--root", type=Path, help=f"folder of the benchmarks' data (default: {ROOT_ENV})")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; an earlier one is continued")
    parser.add_argument("--shots", type=int, default=0, help="worked examples, fewer if they don't fit (%(default)s)")
    add_lang(parser, "what is printed, except errors")
    parser.add_argument("--limit", type=positive, help="only the first questions of each task")
    parser.add_argument(
        "--batch", type=positive, default=BATCH, help="answers written to the disk at once (%(default)s)"
    )
    add_law(parser)
    add_model(parser)
    add_sampling(parser)
    add_judge(parser.add_argument_group("judge"), "marks texts")
    return parser.parse_args(argv)


def _run(chosen: argparse.Namespace) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=120)
    sampling = sampling_of(chosen)
    if bool(chosen.judge) != bool(chosen.judge_model):
        raise UserError("a judge needs both --judge URL and --judge-model NAME")
    use_law_of(chosen)
    benchmark = find_benchmark(chosen.benchmark, chosen.tasks)
    t = sayer(chosen.lang)
    notice = _notice(console, chosen.lang)
    tasks = read_tasks(benchmark, chosen.tasks, chosen.root, chosen.shots, chosen.limit, notice)
    head = {
        "benchmark": benchmark.name,
        "model": identity(chosen),
        "backend": kind_of(chosen),
        "shots": chosen.shots,
        "max_length": chosen.max_length,
        "chat_template_kwargs": chosen.chat_template_kwargs,
        **asdict(sampling),
        **(law_read() if benchmark.name == own.NAME or chosen.judge else {}),
    }
    folder = OpenFolder(chosen.out, head)
    try:
        with open_backend(chosen, folder.date) as backend:
            meter = _answer_all(tasks, backend, chosen, sampling, console, notice)
        if meter.answered:
            speed = meter.tokens / max(1e-9, meter.seconds)
            done = {"n": meter.answered, "tokens": meter.tokens, "speed": speed}
            console.print(t("{n} answers, {tokens:,} tokens, {speed:,.0f} tokens/s", **done))
        scores = assess(benchmark, tasks, chosen.out, head, judging.service_of(chosen))
        console.print(table(scores, chosen.lang))
        console.print(f"{chosen.out}/scores.json · answers/ · scored/", soft_wrap=True, highlight=False)
    finally:
        folder.close()


def _answer_all(
    tasks: Sequence[TaskRun],
    backend: Sized,
    chosen: argparse.Namespace,
    sampling: Sampling,
    console: Console,
    notice: Callable[[str], None],
) -> Metered:
    meter = Metered(backend, console, chosen.lang)
    journal = Journal(meter, chosen.out / "answers", chosen.batch, notice)
    total = sum(len(task.questions) for task in tasks)
    with Pace(console, chosen.benchmark, total, lang=chosen.lang) as meter.pace:
        answer({task.name: task for task in tasks}, journal, backend.max_length, sampling, meter.pace.advance)
    return meter


def _notice(console: Console, lang: Lang) -> Callable[[str], None]:
    return lambda text: console.print(f"[yellow]{say(lang, text)}[/yellow]", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
