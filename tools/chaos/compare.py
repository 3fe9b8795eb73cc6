"""What a run has in the end, against an unbroken run: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from rl.files import digest
from rl.records.rollouts import read_rows
from tools.chaos.variants import STALENESS, Variant, places, policy_stage, stages

BY_START = ("part", "weight_version")
"""Of a completion, what a driver counts from its own start."""

OF_FAULTS = ("losses.jsonl", "status.json", "post-mortem.html")
"""Files of a run that tell of faults, which an unbroken one need not have."""


def told(run_dir: Path) -> list[dict[str, Any]]:
    """The losses that a run has recorded."""
    path = run_dir / "losses.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def metric_lines(run_dir: Path) -> list[dict[str, Any]]:
    """Whole lines of metrics.jsonl, without what a clock gave."""
    path = run_dir / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [{key: value for key, value in line.items() if key != "time"} for line in found]


def completions(run_dir: Path, names: list[str] | None = None) -> list[dict[str, Any]]:
    """What the rollout files of stages (all) hold, except the parts in which the groups of a step came."""
    rows = [row | dict.fromkeys(BY_START) for row in read_rows(run_dir, None, None)]
    rows = [row for row in rows if names is None or row["stage"] in names]
    return sorted(rows, key=lambda row: (row["stage"], row["step"], row["uid"], row["completion"], str(row)))


def exact_stages(variant: Variant) -> list[str]:
    """The stages whose numbers are always the same: with ``async``, which depends on the time of things, and with a
    served judge, whose prompts hold random marks, those before the policy stage."""
    names = [stage.name for stage in stages()]
    return names[: names.index(policy_stage().name)] if variant.mode == "async" or variant.served else names


def differences_so_far(run_dir: Path, unbroken: Path, variant: Variant) -> list[str]:
    """How the lines that a run has so far differ from the first ones of the unbroken run."""
    exact, lines = exact_stages(variant), metric_lines(run_dir)
    found = []
    places_so_far = [(line["stage"], line["step"]) for line in lines]
    if places_so_far != places()[: len(lines)]:
        found.append(f"metrics.jsonl has the lines {places_so_far[-4:]} at its end, line {len(lines)}")
    for line, other in zip(lines, metric_lines(unbroken), strict=False):
        if line != other and line["stage"] in exact:
            names = sorted(name for name in line.keys() | other.keys() if line.get(name) != other.get(name))
            found.append(f"metrics.jsonl: {line['stage']} step {line['step']} differs in {', '.join(names[:4])}")
            break
    return found


def differences(run_dir: Path, unbroken: Path, variant: Variant) -> list[str]:
    """How a finished run differs from the unbroken one of its variant; nothing if nothing was lost."""
    exact = exact_stages(variant)
    found = differences_so_far(run_dir, unbroken, variant)
    if len(metric_lines(run_dir)) != len(places()):
        found.append(f"metrics.jsonl has {len(metric_lines(run_dir))} lines, not {len(places())}")
    rows, others = completions(run_dir, exact), completions(unbroken, exact)
    if rows != others:
        found.append(f"rollouts: {_first_difference(rows, others)}")
    if _results(run_dir, exact) != _results(unbroken, exact):
        found.append("results.json differs")
    for stage in (one.name for one in stages()):
        if stage in exact and _export(run_dir, stage) != _export(unbroken, stage):
            found.append(f"exports/{stage} holds other weights")
    records = json.loads((run_dir / "manifest.json").read_text())["stages"]
    undone = [stage.name for stage in stages() if not records.get(stage.name, {}).get("done")]
    if undone:
        found.append(f"manifest.json does not record that {', '.join(undone)} is done")
    return found + ledger(run_dir) + files_left(run_dir, unbroken)


def tracebacks(printed: str) -> list[str]:
    """The error at the end of every traceback that a command printed; lines of other processes may stand between."""
    found, inside = [], False
    for line in printed.splitlines():
        text = re.sub(r"\x1b\[[\d;]*m|^\([^()]* pid=\d+[^()]*\) ?", "", line)  # colours, and Ray's mark of an actor
        if text.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and re.match(r"[A-Za-z_][\w.]*(:|$)", text):
            found.append(text)
            inside = False
    return found + ["its end was not printed"] * inside


def ledger(run_dir: Path) -> list[str]:
    """What is wrong with the groups of the policy stage: each must come once and have its verdicts."""
    stage = policy_stage()
    rows = read_rows(run_dir, stage.name, None)
    prompts, samples = stage.steps * (stage.prompts_per_step or 0), stage.samples_per_prompt or 0
    counts = Counter(int(row["uid"].removeprefix(f"{stage.name}-").split("-")[0]) for row in rows)
    wrong = {number: counts.get(number, 0) for number in range(prompts) if counts.get(number, 0) != samples}
    found = [f"group {number} has {count} completions, not {samples}" for number, count in list(wrong.items())[:3]]
    found += [f"group {number} is one too many" for number in sorted(counts.keys() - set(range(prompts)))[:3]]
    lines = [line for line in metric_lines(run_dir) if line["stage"] == stage.name]
    dropped = sum(line["groups/errored"] for line in lines)
    if dropped:
        found.append(f"{dropped:g} groups were dropped because of errors")
    stale = max((line["staleness_max"] for line in lines), default=0)
    if stale > STALENESS:
        found.append(f"a group was trained on {stale:g} updates after it was sampled, more than {STALENESS}")
    return found


def files_left(run_dir: Path, unbroken: Path) -> list[str]:
    """Files that the unbroken run does not have. Which checkpoints are kept may differ, as a kept score may."""

    def names(folder: Path) -> set[str]:
        found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        return {name for name in found if not name.startswith(("checkpoints/", "hydra/"))}

    extra = names(run_dir) - names(unbroken) - set(OF_FAULTS)
    extra |= {str(path.relative_to(run_dir)) for path in run_dir.rglob("*.partial")}
    return [f"{name} was left in the run folder" for name in sorted(extra)[:5]]


def _results(run_dir: Path, names: list[str]) -> list[Any]:
    return [one for one in json.loads((run_dir / "results.json").read_text()) if one["stage"] in names]


def _export(run_dir: Path, stage: str) -> str | None:
    path = run_dir / "exports" / stage / "model.safetensors"
    return digest(path) if path.exists() else None


def _first_difference(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    if len(rows) != len(others):
        return f"{len(rows)} completions, not {len(others)}"
    row, other = next((one, two) for one, two in zip(rows, others, strict=True) if one != two)
    names = [name for name in row if row[name] != other.get(name)]
    return f"{row['stage']} step {row['step']} {row['uid']} differs in {', '.join(names)}"
