"""The rollout files of a run, ``rollouts/<stage>/step-000012.parquet``, one row a completion: rows and reading."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl.errors import UserError
from rl.records import parquet
from rl.samples import Group


def rows(group: Group, part: int) -> list[dict[str, Any]]:
    """A group as rows of a rollout file, one a completion; ``part`` of its step says with which it was trained on.

    What is of tokens stays in arrays, which Arrow copies as they are.
    """
    scored, prompt_ids = group.error is None, np.array(group.prompt_ids, np.int64)
    return [
        {
            "uid": group.uid,
            "part": part,
            "task": group.prompt.task,
            "prompt": group.prompt.messages[-1]["content"],
            "completion": completion.text,
            "reference": group.prompt.reference,
            "meta": group.prompt.meta,
            "reward": group.rewards[i] if scored else None,
            "parts": group.parts[i] if scored else {},
            "prompt_ids": prompt_ids,
            "token_ids": completion.token_ids,
            "log_probs": completion.log_probs.astype(np.float64),
            "trained": completion.trained,
            "weight_version": completion.weight_version,
            "finish_reason": completion.finish_reason,
            "error": group.error,
            "reason": group.reasons[i] if scored and group.reasons else "",
        }
        for i, completion in enumerate(group.completions)
    ]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of :func:`rows` as a rollout file."""
    import pyarrow as pa

    texts = ({name: json.dumps(row[name]) for name in ("parts", "meta")} for row in rows)  # their fields differ
    parquet.write(path, pa.Table.from_pylist([{**row, **text} for row, text in zip(rows, texts, strict=True)]))


def step_of(path: Path) -> int:
    """The step of a rollout file (0-based)."""
    return int(path.stem.removeprefix("step-"))


def rollout_files(run_dir: Path, stage: str | None, step: int | None) -> list[Path]:
    """The rollout files of a stage and a step (0-based), or of all of them, in the order in which they were written."""
    found = (run_dir / "rollouts").glob(_pattern(stage, step))
    return sorted(found, key=lambda path: (path.stat().st_mtime, path.name))


def _pattern(stage: str | None, step: int | None) -> str:
    return f"{stage or '*'}/step-{'*' if step is None else f'{step:06d}'}.parquet"


def read_file(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The completions of one file, one dict each.

    Each has ``stage`` and ``step``; ``parts`` and ``meta`` are dicts; ``reasons`` has the reason of each part with one.

    Raises:
        UserError: if the file is damaged.
    """
    rows = parquet.read(
        path, {"parts": str}, "remove it, or restore it from a copy", columns
    )  # earlier ones lack reasons
    place = {"stage": path.parent.name, "step": step_of(path)}
    try:
        found = [
            {**row, "parts": dict(json.loads(row["parts"])), "meta": json.loads(row.get("meta", "{}")), **place}
            for row in rows
        ]
        return [{**row, "reasons": reasons_of(row.get("reason") or "", row["parts"])} for row in found]
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is not a rollout file ({error}); remove it, or restore it from a copy") from None


def reasons_of(reason: str, parts: Iterable[str]) -> dict[str, str]:
    """The reason of each part, from the reason of a weighted verdict, ``accuracy: …; format: …``."""
    pieces = re.split(rf"(?:^|; )({'|'.join(map(re.escape, parts))}): ", reason)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def read_rows(run_dir: Path, stage: str | None, step: int | None) -> list[dict[str, Any]]:
    """Completions of a run, as :func:`read_file` gives them.

    Raises:
        UserError: if the folder has no rollout files of that stage and step.
    """
    files = rollout_files(run_dir, stage, step)
    if not files:
        where = f"{run_dir} has no rollouts/{_pattern(stage, step)}"
        raise UserError(f"{where}; is it a run folder, with tracker.dump_rollouts on?")
    return [row for path in files for row in read_file(path)]
