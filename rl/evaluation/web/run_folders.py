"""Folders of ``python -m rl.evaluate run`` as the web page reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.errors import UserError
from rl.files import read_json
from rl.language import Text
from rl.records.task_figures import read_scores

DEPTH = 3
"""Runs are searched down to this depth below the folder of runs."""
NAME = re.compile(r"[\w\-+=](?:[\w\-+=. ]{0,98}[\w\-+=.])?")
"""Names of folders that the page makes, in any script: no path separators, no leading dot, no space at the ends."""


@dataclass(frozen=True)
class EvaluationRun:
    """One evaluation."""

    name: str
    """Path below the folder of runs."""
    path: Path
    head: Mapping[str, Any]
    """Its manifest: benchmark, model, backend, shots and sampling."""
    scores: Mapping[str, Any] | None
    """Its scores.json; None while it is unfinished."""

    @property
    def tasks(self) -> list[str]:
        """Tasks that have answers, in the order of the benchmark where they are scored."""
        scored = list(self.scores["tasks"]) if self.scores else []
        there = sorted(path.stem for path in (self.path / "answers").glob("*.jsonl"))
        return [*scored, *(task for task in there if task not in scored)]


def find_runs(root: Path) -> list[EvaluationRun]:
    """Every evaluation below a folder, by name. Folders whose files are damaged are left out."""
    found = []
    for path in _folders(root, DEPTH):
        if path != root and (path / "manifest.json").is_file():
            try:
                found.append(read_run(root, str(path.relative_to(root))))
            except UserError:
                continue
    return found


def _folders(folder: Path, depth: int) -> list[Path]:
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    deeper = [found for path in below for found in _folders(path, depth - 1)] if depth else []
    return sorted({*below, *deeper})


def inside(root: Path, name: str, what: Text) -> Path:
    """The folder of a name below ``root``; ``what`` says in an error what it should be.

    Raises:
        UserError: if there is none, or the name leads outside ``root``.
    """
    path = (root / name).resolve()
    if not name or not path.is_relative_to(root.resolve()) or not path.is_dir():
        raise UserError(
            Text(
                "{what} {name} is not below {root}; choose one of the list",
                what=what,
                name=name or Text("(none)"),
                root=root,
            )
        )
    return path


def read_run(root: Path, name: str) -> EvaluationRun:
    """The evaluation of a name.

    Raises:
        UserError: if the folder is not an evaluation, is outside ``root``, or is damaged.
    """
    path = inside(root, name, Text("the run"))
    head = read_json(path / "manifest.json")
    if not isinstance(head, dict) or not {"benchmark", "model"} <= set(head):
        raise UserError(
            Text("{path} is not the folder of an evaluation; python -m rl.evaluate run makes such folders", path=path)
        )
    scores = read_scores(path) if (path / "scores.json").is_file() else None
    return EvaluationRun(name, path, head, scores)


def lines(path: Path) -> list[dict[str, Any]]:
    """Records of a JSONL file that may still grow: an unfinished line at the end is left out.

    Raises:
        UserError: naming file and line, if another line is damaged.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    found = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise UserError(
                Text(
                    "{path}, line {number} is not a JSON object; restore the file from a copy", path=path, number=number
                )
            )
        found.append(record)
    return found


@dataclass(frozen=True)
class Answered:
    """A question with the answers of a run."""

    task: str
    id: str
    prompt: str
    answers: tuple[Mapping[str, Any], ...]
    """One a sample: text, thinking, completion_tokens, truncated."""
    scored: Mapping[str, Any]
    """The line of ``scored/``; empty before scoring."""

    @property
    def text(self) -> str:
        """The first answer."""
        return str(self.answers[0].get("text", "")) if self.answers else ""

    @property
    def score(self) -> float | None:
        """None where the question has none."""
        return self.scored.get("score")


def answered(run: EvaluationRun, task: str) -> list[Answered]:
    """A task's questions and answers, in the order of the questions.

    Raises:
        UserError: if the run has no such task, or a file is damaged.
    """
    if task not in run.tasks:
        raise UserError(
            Text(
                "{run} has no task {task}; its tasks are: {tasks}",
                run=run.name,
                task=task or Text("(none)"),
                tasks=", ".join(run.tasks) or "–",
            )
        )
    scored = {row.get("id"): row for row in lines(run.path / "scored" / f"{task}.jsonl")}
    found = []
    for row in lines(run.path / "answers" / f"{task}.jsonl"):
        name = str(row.get("key", "")).partition("/")[2]
        given = tuple(answer for answer in row.get("answers", ()) if isinstance(answer, dict))
        found.append(Answered(task, name, str(row.get("prompt", "")), given, scored.get(name, {})))
    return found


def question_scores(run: EvaluationRun, task: str) -> dict[str, float]:
    """Score by question, without the questions that the metric leaves out."""
    rows = lines(run.path / "scored" / f"{task}.jsonl")
    return {str(row["id"]): float(row["score"]) for row in rows if row.get("score") is not None}
