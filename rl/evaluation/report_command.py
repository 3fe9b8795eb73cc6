"""``python -m rl.evaluate report RUN.. --out FILE.html``: a page of one or several runs of a benchmark side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, FiniteFloat
from typing_extensions import TypedDict

from curricula.command import command
from rl.errors import UserError
from rl.evaluation.judging import text_of
from rl.evaluation.reading import readable
from rl.files import json_lines, lines_at
from rl.inference.journal import Record
from rl.language import Lang, Text, add_lang
from rl.records.task_figures import notes, percent, read_scores

SHOWN = 6
"""Answers shown for each task and run."""
LONGEST = 6000
"""Characters shown of one text."""


AGAIN = "remove the file and run the evaluation again, which keeps its answers"


class _Verdict(TypedDict):
    score: NotRequired[FiniteFloat]
    reason: NotRequired[str]
    parts: NotRequired[dict[str, FiniteFloat]]
    error: NotRequired[str]


def _decided(verdict: _Verdict) -> _Verdict:
    if verdict and ("score" in verdict) == ("error" in verdict):
        raise ValueError("a verdict has a score or an error")
    return verdict


class ScoredQuestion(TypedDict):
    """A line of scored/."""

    id: str
    prediction: str
    reference: Any
    facets: dict[str, Any]
    score: FiniteFloat | None
    fixed: FiniteFloat | None
    abstained: bool | None
    verdict: NotRequired[Annotated[_Verdict, AfterValidator(_decided)]]


@dataclass(frozen=True)
class Evaluated:
    """A folder that ``rl.evaluate run`` wrote."""

    name: str
    scores: dict[str, Any]
    folder: Path

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Figures by task."""
        found: dict[str, dict[str, Any]] = self.scores["tasks"]
        return found


@command(UserError)
def main(argv: Sequence[str] | None = None) -> int:
    """Write the page and print its path; 2 with a sentence if a folder holds no scores."""
    parser = argparse.ArgumentParser(prog="python -m rl.evaluate report", description="Write the page of evaluations.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders that rl.evaluate run wrote")
    parser.add_argument("--out", type=Path, help="file (default: evaluation.html in the first folder)")
    add_lang(parser)
    chosen = parser.parse_args(argv)
    path = write(chosen.runs, chosen.out or chosen.runs[0] / "evaluation.html", chosen.lang)
    print(path)
    return 0


def write(folders: Sequence[Path], out: Path, lang: Lang = "en") -> Path:
    """Write the page of runs in a language; returns its path.

    Raises:
        UserError: if a folder holds no scores, or they are damaged.
    """
    from rl.report.page import environment, write_page

    runs = [read(folder) for folder in folders]
    benchmarks = list(dict.fromkeys(run.scores["benchmark"] for run in runs))
    text = (
        environment(lang)
        .get_template("evaluation.html.j2")
        .render(
            runs=runs,
            percent=percent,
            benchmarks=[section(name, [run for run in runs if run.scores["benchmark"] == name]) for name in benchmarks],
        )
    )
    return write_page(out, text)


def read(folder: Path) -> Evaluated:
    """The scores in a folder. Raises UserError if there are none, or they are damaged."""
    scores = {"shots": 0, "samples": 1, "temperature": 0.0} | read_scores(folder)
    return Evaluated(folder.resolve().name, scores, folder)


def section(name: str, runs: Sequence[Evaluated]) -> dict[str, Any]:
    """The part of the page on one benchmark: a row for each task, a cell for each run, and single answers."""
    tasks = list(dict.fromkeys(task for run in runs for task in run.tasks))
    best = {task: max(run.tasks[task]["score"] or 0.0 for run in runs if task in run.tasks) for task in tasks}
    return {
        "name": name,
        "title": runs[0].scores["title"],
        "runs": runs,
        "rows": [
            {
                "task": task,
                "title": next(run.tasks[task]["title"] for run in runs if task in run.tasks),
                "contaminated": next(run.tasks[task]["contaminated"] for run in runs if task in run.tasks),
                "cells": [
                    None
                    if task not in run.tasks
                    else {
                        **run.tasks[task],
                        "best": len(runs) > 1 and run.tasks[task]["score"] == best[task],
                        "notes": [note for note in notes(run.tasks[task]) if not note.startswith("contains ")],
                    }
                    for run in runs
                ],
            }
            for task in tasks
        ],
        "answers": [(task, [one for run in runs if task in run.tasks for one in answers(run, task)]) for task in tasks],
    }


def answers(run: Evaluated, task: str) -> list[dict[str, Any]]:
    """Single answers of a task: the worst and the best in turn, as many of each as there are."""
    scored, asked = (run.folder / folder / f"{task}.jsonl" for folder in ("scored", "answers"))
    # of a large evaluation the ids alone are kept, and of its texts those that are shown
    records = json_lines(asked, Record, "remove the line, and it is asked again")
    given = {record["key"]: number for number, record in enumerate(records)}
    ranked = sorted(
        (row["score"], number, given[key])
        for number, row in enumerate(json_lines(scored, ScoredQuestion, AGAIN))
        if row["score"] is not None and (key := f"{task}/{row['id']}") in given
    )
    half = SHOWN // 2
    chosen = ranked if len(ranked) <= SHOWN else ranked[:half] + ranked[-half:]
    rows = lines_at(scored, {number for _, number, _ in chosen}) if chosen else {}
    texts = lines_at(asked, {number for _, _, number in chosen}) if chosen else {}
    return [_shown(run, task, rows[row], texts[record]) for _, row, record in chosen]


def _shown(run: Evaluated, task: str, row: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    answer = record["answers"][0]
    reading = readable(answer)
    verdict = row.get("verdict") or {}
    return {
        "run": run.name,
        "id": row["id"],
        "score": row["score"],
        "fixed": row["fixed"],
        "abstained": row["abstained"],
        "prompt": _cut(record["prompt"]),
        "thinking": _cut(reading.thinking),
        "answer": _cut(reading.text),
        "truncated": answer.get("truncated", False),
        "tokens": answer.get("completion_tokens", 0),
        "reference": _cut(text_of(row["reference"])),
        "facets": row["facets"],
        "verdict": verdict,
        "parts": verdict.get("parts", {}),
    }


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return Text("{text} … ({n} more characters)", text=text[:LONGEST], n=len(text) - LONGEST)


if __name__ == "__main__":
    sys.exit(main())
