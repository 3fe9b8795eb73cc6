"""``python -m tools.rollouts RUN``: show the completions of a run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from curricula.command import command, program
from rl.errors import UserError
from rl.records.rollouts import read_file, read_rows, rollout_files, step_of

PARTS = 4
"""Rewards side by side in a table of 80 columns."""
COLUMNS = ("task", "parts", "reward", "token_ids", "finish_reason", "error")
"""What a summary reads of a file."""


def summaries(run: Path, stage: str | None, step: int | None, task: str | None) -> list[Table]:
    """Tables for terminals of 80 columns: for each stage, in the order of the run, one line a step in their order. A
    stage with more than :data:`PARTS` rewards has the others in further tables.

    Raises:
        UserError: if there is nothing to show.
    """
    stages: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for path in rollout_files(run, stage, step):
        rows = [row for row in read_file(path, COLUMNS) if task in (None, row["task"])]
        if rows:
            stages.setdefault(path.parent.name, {})[step_of(path)] = [_short(row) for row in rows]
    if not stages:
        given = {"stage": stage, "step": step, "task": task}
        asked = "".join(f" --{name} {value}" for name, value in given.items() if value is not None)
        raise UserError(
            f"{run} has no rollouts{f' of{asked}' if asked else ''}; is it a run folder, with tracker.dump_rollouts on?"
        )
    return [table for name, steps in stages.items() for table in _tables(name, steps)]


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("parts", "reward", "finish_reason", "error")} | {"n": len(row["token_ids"])}


def _tables(stage: str, steps: dict[int, list[dict[str, Any]]]) -> Iterator[Table]:
    names = list(dict.fromkeys(name for rows in steps.values() for row in rows for name in row["parts"]))
    for first in range(0, max(1, len(names)), PARTS):
        shown = names[first : first + PARTS]
        table = Table(title=f"{stage}{', further rewards' if first else ''}", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in ("step", "samples", "reward", "tokens", "cut off", "errors"):
            table.add_column(column, justify="right", no_wrap=True)
        for name in shown:
            table.add_column(name, justify="right", max_width=8, overflow="fold")
        for step, rows in sorted(steps.items()):
            scored = [row for row in rows if row["error"] is None]
            table.add_row(
                str(step),
                str(len(rows)),
                _mean([row["reward"] for row in scored]),
                _mean([row["n"] for row in rows], 1),
                _mean([row["finish_reason"] == "length" for row in rows]),
                str(len(rows) - len(scored)),
                *(_mean([row["parts"][name] for row in scored if name in row["parts"]]) for name in shown),
            )
        yield table


def _mean(values: Sequence[float], digits: int = 3) -> str:
    return f"{sum(values) / len(values):.{digits}f}" if values else ""


def panel(row: dict[str, Any]) -> Panel:
    """One completion to read."""
    verdict = f"error: {row['error']}" if row["error"] else f"reward {row['reward']:.3f}  {row['parts']}"
    why = "".join(f"\n{name}: {reason}" for name, reason in row["reasons"].items())
    text = Text.assemble(
        (row["prompt"] + "\n", "bold"),
        (row["completion"] + "\n", "cyan"),
        (f"reference: {row['reference']}\n", "dim"),
        (f"meta: {json.dumps(row['meta'], ensure_ascii=False)}\n" if row["meta"] else "", "dim"),
        verdict,
        (why, "dim"),
    )
    return Panel(text, title=f"{row['stage']} step {row['step']} · {row['task']} · {row['uid']}", title_align="left")


@command(UserError)
def main(argv: Sequence[str] | None = None) -> int:
    """Print completions, or a summary, of a run."""
    parser = argparse.ArgumentParser(prog=program("tools.rollouts"), description="Look at the completions of a run.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--stage", help="only this stage")
    parser.add_argument("--step", type=int, help="only this step (0-based)")
    parser.add_argument("--task", help="only this task")
    parser.add_argument(
        "--order", choices=("worst", "best", "errors"), help="sort by reward, or show errored groups only"
    )
    parser.add_argument("--limit", type=int, default=8, help="completions to print (default 8)")
    parser.add_argument("--summary", action="store_true", help="a table of all steps instead of completions")
    chosen = parser.parse_args(argv)
    console = Console()
    if chosen.summary:
        console.print(*summaries(chosen.run, chosen.stage, chosen.step, chosen.task))
        return 0
    rows = [r for r in read_rows(chosen.run, chosen.stage, chosen.step) if chosen.task in (None, r["task"])]
    if chosen.order == "errors":
        rows = [row for row in rows if row["error"] is not None]
    elif chosen.order:
        rows = [row for row in rows if row["error"] is None]
        rows.sort(key=lambda row: row["reward"], reverse=chosen.order == "best")
    for row in rows[: chosen.limit]:
        console.print(panel(row))
    console.print(f"{min(chosen.limit, len(rows))} of {len(rows)} completions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
