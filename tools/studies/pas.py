"""Plasticity-adjusted sampling against uniform sampling on the same number of tokens: learning and forgetting."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from rl.errors import UserError
from rl.files import write_json
from tools.studies.runs import Stages, composed, console, lines, run_variant

Curve = list[tuple[int, float]]
"""(tokens trained on, held-out perplexity)."""
VARIANTS = ("PAS", "uniform")


def uniform(stages: Stages) -> Stages:
    """The curriculum without plasticity-adjusted sampling; everything else stays."""
    return [{**stage, "pas": None} if stage.get("pas") else stage for stage in stages]


def study(curriculum: str, overrides: Sequence[str], seeds: list[int], out: Path) -> None:
    """Run both variants of every seed unless they have been run, then show and write the outcome.

    Raises:
        UserError: if the curriculum has no mid-training stage with ``pas`` and ``held_out``.
    """
    values = composed(curriculum, overrides)
    names = [s["name"] for s in values["curriculum"]["stages"] if s.get("pas") and s.get("held_out")]
    if not names:
        raise UserError(
            f"curriculum {curriculum} has no mid-training stage with pas and held_out, so there is nothing to compare"
        )
    found: dict[tuple[str, int], dict[str, Curve]] = {}
    for seed in seeds:
        for variant, change in zip(VARIANTS, (None, uniform), strict=True):
            folder = run_variant(values, out / f"{variant.lower()}-seed{seed}", seed, change)
            found[variant, seed] = curves(folder, names[-1])
    console.print(table(found))
    write_json(out / "pas.json", [{"variant": v, "seed": s, **parts} for (v, s), parts in found.items()])
    plot(found, out / "pas.svg")
    console.print(f"{out}/pas.json · {out}/pas.svg")


def curves(folder: Path, stage: str) -> dict[str, Curve]:
    """Held-out perplexity by kind of source, over the tokens that the stage had trained on."""
    found: dict[str, Curve] = {}
    tokens = 0
    mine = [line for line in lines(folder) if line["stage"] == stage]
    for line in mine:
        if line is mine[-1]:  # the last is measured after its step, the others before theirs
            tokens += int(line["tokens"])
        for name in line:
            if name.startswith("perplexity/"):
                found.setdefault(name.removeprefix("perplexity/"), []).append((tokens, line[name]))
        tokens += int(line["tokens"])
    return found


def table(found: dict[tuple[str, int], dict[str, Curve]]) -> Table:
    """A row for each run and one for the mean: perplexity before and after, by kind of source."""
    kinds = list(next(iter(found.values())))
    shown = Table(title="Held-out perplexity, before → after mid-training", box=box.SIMPLE_HEAD)
    for column in ("sampling", "seed", *kinds):
        shown.add_column(column, justify="right")
    for (variant, seed), parts in found.items():
        shown.add_row(variant, str(seed), *(f"{parts[k][0][1]:.2f} → {parts[k][-1][1]:.2f}" for k in kinds))
    shown.add_section()
    for variant in VARIANTS:
        means = [statistics.fmean(p[k][-1][1] for (v, _), p in found.items() if v == variant) for k in kinds]
        shown.add_row(variant, "mean", *(f"{mean:.2f}" for mean in means))
    return shown


def plot(found: dict[tuple[str, int], dict[str, Curve]], path: Path) -> None:
    """A panel for each kind of source, a line for each run."""
    from matplotlib.figure import Figure

    kinds = list(next(iter(found.values())))
    figure = Figure(figsize=(5 * len(kinds), 3.6), layout="constrained")
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for (variant, seed), parts in found.items():
            xs, ys = zip(*parts[kind], strict=True)
            first = seed == min(s for _, s in found)
            axes.plot(
                xs, ys, color="tab:blue" if variant == "PAS" else "tab:orange", label=variant if first else None,
                marker=".", linewidth=1,
            )  # fmt: skip
        axes.set(title=f"{kind} text", xlabel="tokens", ylabel="held-out perplexity", yscale="log")
        axes.legend()
    figure.savefig(path)
