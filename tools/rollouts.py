"""``python -m tools.rollouts RUN``: show the completions of a run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from curricula.command import command
from rl.errors import UserError
from rl.records.rollouts import read_rows


def summary(rows: Sequence[dict[str, Any]]) -> Table:
    """One line for each stage and step: rewards, lengths, truncation, errors."""
    table = Table(title="Rollouts", box=box.SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    names = list(dict.fromkeys(name for row in rows for name in row["parts"]))
    for column in ("step", "completions", "reward", *names, "tokens", "truncated", "errors"):
        table.add_column(column, justify="right")
    for stage, step in dict.fromkeys((row["stage"], row["step"]) for row in rows):
        mine = [row for row in rows if (row["stage"], row["step"]) == (stage, step)]
        scored = [row for row in mine if row["error"] is None]
        table.add_row(
            stage,
            str(step),
            str(len(mine)),
            _mean([row["reward"] for row in scored]),
            *(_mean([row["parts"][name] for row in scored if name in row["parts"]]) for name in names),
            _mean([len(row["token_ids"]) for row in mine]),
            _mean([row["finish_reason"] == "length" for row in mine]),
            str(len(mine) - len(scored)),
        )
    return table


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.3f}" if values else ""


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
    parser = argparse.ArgumentParser(prog="python -m tools.rollouts", description="Look at the completions of a run.")
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
    rows = [r for r in read_rows(chosen.run, chosen.stage, chosen.step) if chosen.task in (None, r["task"])]
    console = Console()
    if chosen.summary:
        console.print(summary(rows))
        return 0
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
