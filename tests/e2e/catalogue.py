"""The numbers of a real run, held against the catalogue of metrics."""

import json
from pathlib import Path
from typing import Any

from rl.config.derive import logging_setting
from rl.config.metric import EVERY, ONCE, SAMPLED, UPDATE
from rl.config.metrics import find, of_kind
from tools.replay import run_config


def hold_to_catalogue(run_dir: Path) -> set[str]:
    """Assert that each number of a run is in the catalogue, and that each line has what the catalogue promises of it.

    Returns:
        All names that were seen, those of the times as ``time/…``.
    """
    config = run_config(run_dir)
    stages = {stage.name: stage for stage in config.curriculum.stages}
    seen: set[str] = set()
    for text in (run_dir / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        stage = stages[line["stage"]]
        times = {f"time/{name}" for name in line["time"]}
        names = set(line) - {"stage", "step", "time"}
        unknown = [name for name in names | times if find(name, stage.kind) is None]
        assert not unknown, f"{stage.kind} stages log {unknown}, which rl/config/metrics.py lacks"
        setting = logging_setting(config, stage)
        values = {"reward": setting.rewards, "task": getattr(stage, "tasks", ()) if stage.kind == "evaluate" else ()}
        for metric in of_kind(stage.kind):
            family = set(metric.names(values))
            if not metric.logged(setting):
                assert not family & names, f"{metric.name} is logged although {metric.when} does not hold"
            elif metric.steps in _steps(line):
                assert family <= names, f"{family - names} of {metric.name} is missing from {stage.name}: {line}"
        seen |= names | times
    return seen


def _steps(line: dict[str, Any]) -> set[str]:
    """Which words of the catalogue hold for a line."""
    samples = "groups/sampled" in line
    found = {EVERY, ONCE} | ({SAMPLED} if samples else set())
    if line.get("groups/trained", not samples):
        found.add(UPDATE)
    return found
