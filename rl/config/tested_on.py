"""Whether a curriculum tests the policy on what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curricula.records import is_file
from rl.config.stages import EvaluateStage, Stage


def seen_in_training(stages: Sequence[Stage]) -> list[str]:
    """A sentence for each evaluation whose file an earlier stage trains on."""
    trained: dict[Path, str] = {}
    found = []
    for stage in stages:
        files = _files(stage)
        if isinstance(stage, EvaluateStage):
            found += [
                f"stage {stage.name} asks the questions of {file}, on which stage {trained[path]} trains: its accuracy "
                f"says nothing about new questions; give it a file of its own"
                for path, file in files.items()
                if path in trained
            ]
        else:
            trained = dict.fromkeys(files, stage.name) | trained
    return found


def _files(stage: Any) -> dict[Path, str]:
    """The files of a stage's questions or demonstrations, by where they are."""
    tasks = getattr(stage, "tasks", None) or ()
    names = [getattr(stage, "data", None), *(name for name in tasks if is_file(name))]
    return {Path(name).expanduser().resolve(): name for name in names if isinstance(name, str)}
