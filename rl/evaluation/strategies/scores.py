"""Scores of the strategies: the columns of Unilaw-R1's Table 3 and the cost in tokens, as a table and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich import box
from rich.table import Table

from rewards.parsing import choice_letters, final_answer, find_choice
from rewards.sets import f1
from rl.evaluation.benchmark import Benchmark, Question
from rl.evaluation.strategies.methods import Result
from rl.evaluation.task_scores import interval_of
from rl.records.task_figures import percent


@dataclass(frozen=True)
class StrategyScore:
    """Figures of one strategy; shares in [0, 1], None where there is no such question."""

    name: str
    single: float | None
    """Accuracy on questions with one right option."""
    multiple: float | None
    """Accuracy on questions with several right options, all of which must be chosen."""
    multiple_f1: float | None
    """F1 of the chosen options on those, on average."""
    average: float
    """Mean score over all questions, by the benchmark's own metric."""
    interval: tuple[float, float] | None
    """95 % interval of the average."""
    tokens: float
    """Completion tokens a question."""
    prompt_tokens: float
    counts: dict[str, int]
    per_question: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


def score(
    benchmark: Benchmark, tasks: Sequence[tuple[str, Sequence[Question]]], kinds: Sequence[str], result: Result
) -> StrategyScore:
    """The figures of a strategy whose predictions follow the questions of the tasks, one task after the other."""
    per_question: dict[str, float] = {}
    start = 0
    for task, questions in tasks:
        given = result.predictions[start : start + len(questions)]
        start += len(questions)
        for one in benchmark.score(task, questions, given).per_question:
            per_question[f"{task}/{one.id}"] = one.score
    single, several, overlap = _choices([q for _, some in tasks for q in some], kinds, result.predictions)
    values = list(per_question.values())
    return StrategyScore(
        name=result.name,
        single=_mean(single),
        multiple=_mean(several),
        multiple_f1=_mean(overlap),
        average=_mean(values) or 0.0,
        interval=interval_of(values),
        tokens=result.tokens,
        prompt_tokens=result.prompt_tokens,
        counts=result.counts,
        per_question=per_question,
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _choices(
    questions: Sequence[Question], kinds: Sequence[str], predictions: Sequence[str]
) -> tuple[list[float], list[float], list[float]]:
    """Right or not for questions with one right option, and for those with several; F1 of the latter."""
    single, several, overlap = [], [], []
    for question, kind, prediction in zip(questions, kinds, predictions, strict=True):
        reference = question.reference
        wanted = choice_letters("".join(reference) if isinstance(reference, list | tuple) else str(reference))
        if kind != "choice" or wanted is None:
            continue
        chosen = find_choice(final_answer(prediction) or "") or frozenset()
        if len(wanted) == 1:
            single.append(float(chosen == wanted))
        else:
            several.append(float(chosen == wanted))
            overlap.append(f1(len(chosen & wanted), len(chosen), len(wanted)) if chosen else 0.0)
    return single, several, overlap


def table(title: str, scores: Sequence[StrategyScore]) -> Table:
    """One row a strategy, in percent."""
    shown = Table(title=f"{title} (%, 95 % interval)", box=box.SIMPLE_HEAD, pad_edge=False)
    choices = any(one.single is not None or one.multiple is not None for one in scores)
    columns = ["SC acc", "MC acc", "MC F1"] if choices else []
    for name in ("method", *columns, "average", "interval", "tokens", "prompt tokens", "what happened"):
        last = name == "what happened"
        shown.add_column(name, justify="left" if last or name == "method" else "right", no_wrap=not last)
    for one in scores:
        figures = [percent(value) for value in (one.single, one.multiple, one.multiple_f1)] if choices else []
        between = f"{100 * one.interval[0]:.1f}–{100 * one.interval[1]:.1f}" if one.interval else ""
        happened = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in one.counts.items() if count)
        shown.add_row(
            one.name, *figures, percent(one.average), between, f"{one.tokens:,.0f}", f"{one.prompt_tokens:,.0f}",
            happened,
        )  # fmt: skip
    return shown


def plot(title: str, scores: Sequence[StrategyScore], path: Path) -> None:
    """Accuracy against completion tokens a question, with 95 % intervals; the rounds are joined."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    rounds = [one for one in scores if one.name.startswith("iterative")]
    axes.plot([one.tokens for one in rounds], [100 * one.average for one in rounds], color="tab:blue", linewidth=1)
    for one in scores:
        colour = "tab:blue" if one in rounds else "tab:gray"
        if one.interval:
            low, high = (100 * border for border in one.interval)
            axes.plot((one.tokens, one.tokens), (low, high), color=colour, linewidth=1.5, alpha=0.5)
        axes.plot(one.tokens, 100 * one.average, "o", color=colour, markersize=5)
        axes.annotate(
            one.name, (one.tokens, 100 * one.average), (5, 5), textcoords="offset points", fontsize=8, color=colour
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.set_xlabel("completion tokens a question, of all models")
    axes.set_ylabel("average accuracy (%)")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.15)
    figure.savefig(path)
