"""Benchmarks: their metrics as published, and corrected where the published code has a known defect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Unpack

    from rl.evaluation.options import Options
    from rl.records.task_figures import Scores


def evaluate(benchmark: str, out: str | Path, **options: Unpack[Options]) -> Scores:
    """Ask a model the questions of a benchmark and score its answers, as ``python -m rl.evaluate run`` does.

    The same call goes on with what ``out`` holds, and asks only what has no answer there.

    Args:
        benchmark: its name, the path of its YAML file, or ``held_out`` for the questions of our own tasks.
        out: folder of the results: answers, scores.json, and each answer with its score.
        options: those of the command by name, such as ``model="FOLDER"``, ``tasks=["age"]``, ``limit=100``,
            ``backend="transformers"`` (:class:`rl.evaluation.options.Options`).

    Returns:
        What scores.json holds: ``tasks`` with score, interval and number of questions of each, and their ``average``.

    Raises:
        rl.errors.UserError, curricula.errors.DataError, cluster.errors.ClusterError: for what a user can fix.
    """
    from rl.evaluation.run_command import run

    return run(benchmark, out, options)
