"""A finished study as JSON that holds every result, and as the Markdown tables of the documentation made from it.

``docs/studies/`` holds the records that docs/measurements.md quotes; a test keeps them equal.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rl.files import read_json, write_json
from rl.records.results import EvalResult
from tools.studies.outcomes import Outcome, over_seeds, percent, plot_gain, shown
from tools.studies.runs import console


def write(path: Path, command: str, found: Sequence[Outcome], folder: Path) -> None:
    """Write a study's record, tables and picture to ``path`` with .json, .md and .svg; the rest as :func:`record`."""
    kept = record(command, found, folder)
    write_json(path.with_suffix(".json"), kept)
    path.with_suffix(".md").write_text(tables(kept), encoding="utf-8")
    plot_gain(found, path.with_suffix(".svg"))
    console.print(" · ".join(str(path.with_suffix(end)) for end in (".json", ".md", ".svg")))


def record(command: str, found: Sequence[Outcome], folder: Path) -> dict[str, Any]:
    """A study's results with the command that repeats them.

    Args:
        command: what was typed.
        found: its outcomes.
        folder: of one of its runs, whose manifest says when, over which law and by which code.
    """
    manifest = read_json(folder / "manifest.json")
    return {
        "command": command,
        "date": manifest["date"],
        "law": manifest["law"]["as_of"],
        "commit": (manifest["git_commit"] or "unknown")[:7],
        "machine": f"{os.cpu_count()} cores, {_processor()}",
        "outcomes": [
            {"variant": one.variant, "seed": one.seed, "before": asdict(one.before), "after": asdict(one.after)}
            for one in found
        ],
    }


def outcomes(found: dict[str, Any]) -> list[Outcome]:
    """The outcomes of a record."""
    return [
        Outcome(one["variant"], one["seed"], EvalResult(**one["before"]), EvalResult(**one["after"]))
        for one in found["outcomes"]
    ]


def tables(found: dict[str, Any]) -> str:
    """A record in Markdown: one row a run, one for the mean of each variant, and where it was measured."""
    given = outcomes(found)
    tasks = list(given[0].after.per_task)
    rows = [["variant", "seed", "after SFT", "at the end", "gain", "lowest", *tasks], ["---"] * (6 + len(tasks))]
    for variant in dict.fromkeys(one.variant for one in given):
        mine = [one for one in given if one.variant == variant]
        for one in mine:
            changes = [percent(one.after, task) - percent(one.before, task) for task in tasks]
            rows.append(
                [
                    variant, str(one.seed), shown(one.before), shown(one.after), f"{one.gain:+.1f}",
                    f"{min(changes):+.1f}",
                    *(f"{percent(one.before, task):.1f} → {percent(one.after, task):.1f}" for task in tasks),
                ]
            )  # fmt: skip
        if len(mine) > 1:
            rows.append([variant, "mean", *means(mine), "", *[""] * len(tasks)])
    where = (
        f"`{found['command']}` on {found['date']}, {found['machine']}, commit {found['commit']}, law of {found['law']}"
    )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{where}\n"


def means(found: Sequence[Outcome]) -> tuple[str, str, str]:
    """(accuracy after SFT, at the end, gain) over seeds, the gain with its 95 % interval by Student's t."""
    gain, half = over_seeds([one.gain for one in found])
    before, after = (
        statistics.fmean(100 * result.average for result in results)
        for results in ([one.before for one in found], [one.after for one in found])
    )
    return f"{before:.1f}", f"{after:.1f}", f"{gain:+.1f}" + ("" if half is None else f" ± {half:.1f}")


def _processor() -> str:
    """The processor's name as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
