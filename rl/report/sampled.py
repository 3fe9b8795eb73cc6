"""Sample rollouts of a stage, each with its verdict in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rewards.library  # noqa: F401  (registers the rewards)
from rewards.registry import REWARDS, Part
from rl.config.metrics import OVERLONG
from rl.language import Text
from rl.records.rollouts import read_file, rollout_files
from rl.report.read import Run, Stage

COLUMNS = (
    "uid", "task", "prompt", "completion", "reference", "meta", "reward", "parts", "finish_reason", "error", "reason",
)  # fmt: skip
LONGEST = 4000
"""Characters of a completion that are shown."""
PER_EVALUATION = 8
TAGS = re.compile(r"(</?think>|</?answer>)")


@dataclass(frozen=True)
class PartScore:
    """One reward's share in a verdict."""

    name: str
    score: float
    weighted: float
    meaning: str
    reason: str
    """Why, where the reward gives a reason."""


@dataclass(frozen=True)
class Shown:
    """One completion to read."""

    why: str
    """Why this one: ``best``, ``worst``, ``cut off``, ``errored``, ``right`` or ``wrong``."""
    row: dict[str, Any]
    """Its row of the rollout file, with ``stage`` and ``step`` (0-based)."""
    parts: list[PartScore]

    @property
    def text(self) -> list[tuple[str, bool]]:
        """The completion in pieces, each with whether it is a tag."""
        shown = self.row["completion"][:LONGEST]
        return [(piece, bool(TAGS.fullmatch(piece))) for piece in TAGS.split(shown) if piece]

    @property
    def meta(self) -> dict[str, str]:
        """The fields of the prompt's meta: text as it is, other values as JSON."""
        given = self.row["meta"]
        return {name: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for name, v in given.items()}

    @property
    def left_out(self) -> int:
        """Characters of the completion that are not shown."""
        return max(0, len(self.row["completion"]) - LONGEST)


def training_samples(run: Run, stage: Stage) -> list[Shown]:
    """The best and the worst completion of the first step and of the last, and of the last one cut off, one errored."""
    files = sorted(rollout_files(run.path, stage.name, None), key=lambda path: path.name)
    weights = run.reward_parts(stage) | {OVERLONG: Part(1.0)}
    found: list[Shown] = []
    for path in dict.fromkeys((files[0], files[-1]) if files else ()):
        rows = read_file(path, COLUMNS)
        scored = sorted((row for row in rows if row["error"] is None), key=lambda row: row["reward"])
        picked = [(Text("best"), row) for row in scored[-1:]] + [(Text("worst"), row) for row in scored[:1]]
        if path == files[-1]:
            picked += [(Text("cut off"), row) for row in scored if row["finish_reason"] == "length"][:1]
            picked += [(Text("errored"), row) for row in rows if row["error"] is not None][:1]
        taken: list[int] = []
        for why, row in picked:
            if id(row) not in taken:
                taken.append(id(row))
                found.append(_shown(why, row, weights))
    return found


def evaluation_samples(run: Run, stage: Stage) -> list[Shown]:
    """Of every task of an evaluation one right and one wrong answer, as far as there is room."""
    found: dict[tuple[str, str], Shown] = {}
    for path in rollout_files(run.path, stage.name, 0):
        for row in read_file(path, COLUMNS):
            right = Text("right") if row["parts"].get("accuracy") else Text("wrong")
            why = Text("errored") if row["error"] else right
            if (row["task"], why) not in found:
                found[row["task"], why] = _shown(why, row, {"accuracy": Part(1.0), "format": Part(0.0)})
    return list(found.values())[:PER_EVALUATION]


def _shown(why: str, row: dict[str, Any], weights: Mapping[str, Part]) -> Shown:
    scores = [
        PartScore(
            name,
            score,
            weights[name].of(score) if name in weights else 0.0,
            meaning(name),
            row["reasons"].get(name, ""),
        )
        for name, score in row["parts"].items()
    ]
    return Shown(why, row, scores)


def meaning(name: str) -> str:
    """What a part of a reward measures: the first paragraph of a reward's documentation."""
    if name == OVERLONG:
        return Text("algorithm.overlong_buffer: what a completion loses as it comes near sampling.max_tokens")
    if name not in REWARDS:
        return Text("a reward of your own")
    return " ".join((REWARDS[name].__doc__ or "").split("\n\n")[0].split()).replace("``", "")
