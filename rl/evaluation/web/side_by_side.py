"""The tab that shows runs side by side, and tests two of them on the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from rl.errors import UserError
from rl.evaluation.statistics import compare
from rl.evaluation.task_scores import judged_cell
from rl.evaluation.web.markup import errors_shown, notice, show
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.run_folders import EvaluationRun, find_runs, question_scores, read_run
from rl.language import Lang, Text
from rl.records.task_figures import notes

MOST = 8
"""Runs side by side."""


def scored_runs(settings: PageSettings) -> list[str]:
    """Names of the runs that have scores."""
    return [run.name for run in find_runs(settings.runs) if run.scores]


def side_by_side(runs: Sequence[EvaluationRun], lang: Lang = "en") -> str:
    """A row for each task of each benchmark, a column for each run.

    Raises:
        UserError: if a run has no scores.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for place, run in enumerate(runs):
        if run.scores is None:
            raise UserError(Text("{run} is not scored yet; let it finish first", run=run.name))
        for task, figures in run.scores["tasks"].items():
            key = str(run.head["benchmark"]), task
            row = rows.setdefault(
                key,
                {
                    "title": figures.get("title", ""),
                    "contains": figures.get("contaminated"),
                    "cells": [None] * len(runs),
                },
            )
            text = notes({**figures, "contaminated": None})
            row["cells"][place] = {**figures, "judged": judged_cell(figures), "notes": text}
    return show("side_by_side", lang, runs=runs, rows=sorted(rows.items(), key=lambda row: row[0]))


def paired(a: EvaluationRun, b: EvaluationRun, lang: Lang = "en") -> str:
    """The paired test of two runs on every task that both have.

    Raises:
        UserError: if they share no question.
    """
    names = {"first": a.name, "second": b.name}
    if a.head["benchmark"] != b.head["benchmark"]:
        raise UserError(Text("{first} and {second} are runs of different benchmarks; choose two of the same", **names))
    rows = []
    for task in (task for task in a.tasks if task in b.tasks):
        left, right = question_scores(a, task), question_scores(b, task)
        if set(left) & set(right):
            rows.append((task, compare(left, right)))
    if not rows:
        raise UserError(
            Text("{first} and {second} share no scored question; choose two runs of the same tasks", **names)
        )
    adjusted = holm([row.p for _, row in rows])
    return show("paired", lang, a=a, b=b, rows=[(task, row, p) for (task, row), p in zip(rows, adjusted, strict=True)])


def holm(values: Sequence[float]) -> list[float]:
    """p-values of several tests, adjusted to keep the probability of any false positive (Holm 1979)."""
    adjusted, most = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        most = max(most, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = most
    return adjusted


def tab(settings: PageSettings) -> list[gr.Dropdown]:
    """The tab's fields and their actions; returns the fields that list runs."""
    names, t, lang = scored_runs(settings), settings.t, settings.lang
    chosen = gr.Dropdown(
        names, multiselect=True, label=t("Runs (up to {most})", most=MOST), allow_custom_value=True,
        elem_id="compare-runs",
    )  # fmt: skip
    table = gr.HTML(elem_id="compare-table")
    with gr.Row(equal_height=True):
        a = gr.Dropdown(names, value=None, label=t("Run A"), allow_custom_value=True, min_width=240, elem_id="paired-a")
        b = gr.Dropdown(names, value=None, label=t("Run B"), allow_custom_value=True, min_width=240, elem_id="paired-b")
        ask = gr.Button(t("Paired test"), variant="primary", elem_id="paired-button")
    result = gr.HTML(elem_id="paired")

    @errors_shown(lambda sentence: sentence, lang)
    def lay(chosen: list[str] | None) -> str:
        if len(chosen or ()) > MOST:
            raise UserError(
                Text("{n} runs do not fit side by side; choose {most} at most", n=len(chosen or ()), most=MOST)
            )
        return side_by_side([read_run(settings.runs, name) for name in chosen], lang) if chosen else ""

    @errors_shown(lambda sentence: sentence, lang)
    def test(a: str | None, b: str | None) -> str:
        if not a or not b or a == b:
            return notice(Text("Choose two different runs"), lang=lang)
        return paired(read_run(settings.runs, a), read_run(settings.runs, b), lang)

    chosen.change(lay, chosen, table, api_name="compare", show_progress="hidden")
    ask.click(test, [a, b], result, api_name="paired")
    return [chosen, a, b]
