"""Composes the variants of a curriculum and runs them one after the other on one Ray."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console

from rl.config.compose import CONF, accept_overrides, load
from rl.job import open_cluster, run
from rl.records.results import EvalResult, read

Stages = list[dict[str, Any]]
console = Console() if sys.stdout.isatty() else Console(width=150)


def composed(curriculum: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The values of a run as ``python -m rl.main +curriculum=… …`` would compose them, before validation."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        accepted = accept_overrides([f"+curriculum={curriculum}", *overrides])
        found = compose("config", overrides=[*accepted, "run_dir=unset"])
    return dict(OmegaConf.to_container(found, resolve=True))


def run_variant(values: dict[str, Any], folder: Path, seed: int, change: Callable[[Stages], Stages] | None) -> Path:
    """Run a variant of composed values in a folder unless it has been run there. Returns the folder."""
    variant = copy.deepcopy(values) | {"seed": seed, "run_dir": str(folder)}
    if change is not None:
        variant["curriculum"]["stages"] = change(variant["curriculum"]["stages"])
    console.rule(str(folder))
    run(load(variant))
    return folder


def on_one_ray(study: Callable[[], None]) -> None:
    """Run a study; Ray, once started, runs until the end of the study."""
    with open_cluster:
        study()


def kinds(stages: Stages, *wanted: str) -> Stages:
    """The stages of some kinds."""
    return [stage for stage in stages if stage["kind"] in wanted]


def lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def tested(folder: Path) -> tuple[EvalResult, EvalResult]:
    """The first and the last evaluation of a run on the test split. A stage may leave the weights of an earlier one, so
    the last one is not always of the last stage's policy."""
    found = [result for result in read(folder / "results.json") if result.split == "test"]
    return found[0], found[-1]
