"""The time of a run as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from rl.estimate.times import NOT_COUNTED, StageTime
from rl.records.eta import about


def print_times(times: Sequence[StageTime], start: float, console: Console) -> None:
    """The time of each stage, of the start (seconds) and of the run, and what is not in it."""
    table = Table(title="Time on this machine's CPU (estimate)", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("stage", "training, reading", "sampling"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for time in times:
        sampling = f"{'≤ ' if time.longest else ''}{about(time.sampling)}" if time.sampling else ""
        table.add_row(time.name, about(time.training), sampling)
    console.print(table)
    most = "at most " if any(time.longest for time in times) else "about "
    console.print(f"start: about {about(start)} until Ray, engines and trainer are up")
    whole = start + sum(time.seconds for time in times)
    console.print(f"time: {most}{about(whole)} with the start, on this machine when nothing else runs")
    why = ["measured just now on a layer of the model's sizes", f"not counted: {NOT_COUNTED}"]
    if most == "at most ":
        why.insert(1, "completions count with sampling.max_tokens where no demonstrations say how long they are")
    console.print("; ".join(why), style="dim")
