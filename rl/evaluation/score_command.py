"""``python -m rl.evaluate score``: scores of predictions made elsewhere, without loading a model.

python -m rl.evaluate score --benchmark lawbench --task 3-6 --predictions FILE [--data FILE | --root ROOT] --json
python -m rl.evaluate score --benchmark lexeval --predictions FOLDER [--root ROOT] [--bertscore MODEL_FOLDER]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from curricula.command import command, program
from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, TaskScore
from rl.evaluation.benchmark_files import MissingData
from rl.evaluation.benchmarks import ALIASES, find, folder_of
from rl.evaluation.metrics.bertscore import LAYER, BertScore, adding
from rl.evaluation.predictions import Prediction, in_order, own_questions, read_predictions, tasks_in
from rl.evaluation.scoring import Unscorable, mean, require_references
from rl.evaluation.task_scores import interval_of
from rl.language import Lang, Text, add_lang, listed, sayer


@command(UserError)
def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 with a sentence when something can't be read or scored."""
    parser = argparse.ArgumentParser(prog=program("rl.evaluate score"), description="Score predictions.")
    parser.add_argument("--benchmark", required=True, help="name (python -m rl.evaluate list), or a YAML file")
    parser.add_argument("--task", help="such as 3-6; left out: every task that the predictions hold")
    parser.add_argument("--predictions", type=Path, required=True, help="file or folder of predictions of one model")
    parser.add_argument("--data", type=Path, help="the benchmark's own file or folder, for the references")
    parser.add_argument("--root", type=Path, help="folder with a folder for each benchmark, instead of --data")
    parser.add_argument("--bertscore", type=Path, metavar="FOLDER", help="compare texts with this model, too")
    parser.add_argument("--bertscore-layer", type=int, default=LAYER, metavar="N", help="its layer (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    add_lang(parser, "what is printed, except errors")
    chosen = parser.parse_args(argv)
    benchmark = find(chosen.benchmark)
    if chosen.bertscore:
        benchmark = adding(benchmark, BertScore(chosen.bertscore, chosen.bertscore_layer))
    if chosen.data and not chosen.data.exists():
        raise UserError(f"{chosen.data} does not exist; --data names the benchmark's own file or folder")
    data = chosen.data or (folder_of(chosen.root, benchmark) if chosen.root else None)
    if chosen.task is None:
        told = sayer(chosen.lang)
        scores = score_all(benchmark, chosen.predictions, data, lambda text: print(told(text), file=sys.stderr))
        _print_all(benchmark, scores, chosen.json, chosen.lang)
    else:
        score, questions = score_task(benchmark, chosen.task, chosen.predictions, data)
        _print_one(benchmark, chosen.task, score, questions, chosen.json, chosen.lang)
    return 0


def score_task(benchmark: Benchmark, task: str, predictions: Path, data: Path | None = None) -> tuple[TaskScore, int]:
    """(score, number of questions) of one task from a file, or from those files of a folder that hold it.

    Raises:
        UserError: for an unknown task, or what can't be read or scored.
    """
    if task not in benchmark.tasks:
        raise UserError(f"{benchmark.title} has no task {task}; its tasks are {', '.join(benchmark.tasks)}")
    files = _files(benchmark, predictions).get(task, []) if predictions.is_dir() else [predictions]
    if not files:
        raise UserError(f"{predictions} holds no file of predictions of task {task}, such as {task}.json")
    return _scored(benchmark, task, files, data)


def score_all(
    benchmark: Benchmark, predictions: Path, data: Path | None = None, notice: Callable[[str], None] = lambda text: None
) -> dict[str, tuple[TaskScore, int]]:
    """(score, number of questions) of every task that a folder or a file of predictions holds. A task that can't be
    scored with the files there is reported and left out, unless it is the only one. Raises UserError."""
    if predictions.is_dir():
        files = _files(benchmark, predictions)
    else:
        names = {name: _task(benchmark, name) for name in (*benchmark.tasks, *ALIASES.get(benchmark.name, {}))}
        files = {task: [predictions] for name in tasks_in(predictions, list(names)) if (task := names[name])}
        only = list(benchmark.tasks) if len(benchmark.tasks) == 1 else [_named(benchmark, predictions)]
        files = files or {task: [predictions] for task in only if task}
    if not files:
        raise UserError(
            f"{predictions}: found no predictions of {benchmark.title}; name files by their tasks, such as "
            f"{next(iter(benchmark.tasks))}.json, or give --task"
        )
    scores: dict[str, tuple[TaskScore, int]] = {}
    for task in (task for task in benchmark.tasks if task in files):
        try:
            scores[task] = _scored(benchmark, task, files[task], data)
        except Unscorable as error:
            if len(files) == 1:
                raise
            notice(Text("left out: task {task}; {error}", task=task, error=error.args[0]))
    return scores


def _scored(benchmark: Benchmark, task: str, files: Sequence[Path], data: Path | None) -> tuple[TaskScore, int]:
    others = [alias for alias, name in ALIASES.get(benchmark.name, {}).items() if name == task]
    found: dict[str, Prediction] = {}
    for path in files:
        for one in read_predictions(path, task, *others):
            if one.id in found:
                raise UserError(f"{path}, entry {one.id}: {files[0].parent} holds two predictions with this id")
            found[one.id] = one
    rows, where = list(found.values()), files[0] if len(files) == 1 else files[0].parent
    questions: Sequence[Question]
    try:
        if data is None:
            questions, given = own_questions(rows, where), rows
        else:
            questions = benchmark.read(data, task, 0)
            given = in_order(rows, questions, where)
    except MissingData:
        if any(one.reference is None for one in rows):
            raise
        questions, given = own_questions(rows, where, data), rows
    require_references(benchmark, task, questions, where)
    questions = [replace(question, asked=one.asked) for question, one in zip(questions, given, strict=True)]
    return benchmark.score(task, questions, [one.text for one in given]), len(questions)


def _files(benchmark: Benchmark, folder: Path) -> dict[str, list[Path]]:
    """Files of each task: T.json, MODEL_T.jsonl (LexEval) or T/T_WORKER.json (LegalKit)."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".jsonl")):
        task = _task(benchmark, path.parent.name) if path.parent != folder else None
        task = task or _named(benchmark, path)
        if task is None:
            continue
        if task in found and found[task][0].parent != path.parent:
            raise UserError(
                f"{folder} holds task {task} in {found[task][0].parent} and {path.parent}; give one model's folder"
            )
        found.setdefault(task, []).append(path)
    return found


def _task(benchmark: Benchmark, name: str) -> str | None:
    return name if name in benchmark.tasks else ALIASES.get(benchmark.name, {}).get(name)


def _named(benchmark: Benchmark, path: Path) -> str | None:
    """The task in a file's name; the longest that fits (MODEL_1_1 is 1_1, 2-10 is not 0)."""
    names = sorted((*benchmark.tasks, *ALIASES.get(benchmark.name, {})), key=len, reverse=True)
    fits = (name for name in names if re.fullmatch(rf"(?:.*_)?{re.escape(name)}(?:_\d+)?", path.stem))
    exact = [name for name in names if path.stem == name or path.stem.endswith(f"_{name}")]
    name = exact[0] if exact else next(fits, None)
    return _task(benchmark, name) if name else None


def figures(score: TaskScore, questions: int) -> dict[str, float | int]:
    """Score, abstention rate, corrected score, number of questions, then the benchmark's other figures."""
    return {
        "score": score.score,
        "abstention_rate": score.abstention_rate,
        "fixed": score.fixed,
        "n": questions,
        **score.further,
    }


def confidence(score: TaskScore) -> tuple[float, float] | None:
    """95 % interval of a score that is the mean over its questions; None for other scores."""
    return interval_of([one.score for one in score.per_question], score.score)


def notes(benchmark: Benchmark, task: str) -> Text:
    """Notes that a reader of the score needs."""
    found = [Text("contains {what}", what=benchmark.contaminated[task])] if task in benchmark.contaminated else []
    return listed(found + ([Text("LLM judge published")] if task in benchmark.judged else []), "; ")


def _print_one(benchmark: Benchmark, task: str, score: TaskScore, questions: int, as_json: bool, lang: Lang) -> None:
    found = figures(score, questions)
    if as_json:
        print(json.dumps(found))
        return
    shown = ", ".join(f"{name} {value:.5g}" for name, value in found.items())
    limits, t = confidence(score), sayer(lang)
    between = t("95% {low:.4f} to {high:.4f}", low=limits[0], high=limits[1]) if limits else ""
    print(f"{benchmark.name} {task}: {shown}" + (f", {between}" if limits else ""))
    if notes(benchmark, task):
        print(t(notes(benchmark, task)))


def _print_all(benchmark: Benchmark, scores: dict[str, tuple[TaskScore, int]], as_json: bool, lang: Lang) -> None:
    average = {
        "score": mean([one.score for one, _ in scores.values()]),
        "fixed": mean([one.fixed for one, _ in scores.values()]),
    }
    if as_json:
        tasks: dict[str, dict[str, Any]] = {
            task: figures(one, questions)
            | {"interval": confidence(one)}
            | ({"contaminated": benchmark.contaminated[task]} if task in benchmark.contaminated else {})
            for task, (one, questions) in scores.items()
        }
        print(json.dumps({"benchmark": benchmark.name, "tasks": tasks, "mean": average}, ensure_ascii=False))
        return
    table, t = Table(title=benchmark.title), sayer(lang)
    texts = (t("task"), "", t("note"))
    for name in (*texts[:2], "n", t("score"), "95%", t("fixed"), t("abstained"), texts[2]):
        number = name not in texts
        table.add_column(name, justify="right" if number else "left", no_wrap=number or name == texts[0])
    for task, (one, questions) in scores.items():
        limits = confidence(one)
        table.add_row(
            task, benchmark.tasks[task], str(questions), f"{one.score:.4f}",
            f"{limits[0]:.3f}-{limits[1]:.3f}" if limits else "", f"{one.fixed:.4f}", f"{one.abstention_rate:.3f}",
            t(notes(benchmark, task)),
        )  # fmt: skip
    table.add_section()
    shown = (f"{average['score']:.4f}", "", f"{average['fixed']:.4f}")
    table.add_row(t("mean"), t("{n} tasks", n=len(scores)), "", *shown, "", "")
    Console().print(table)
