"""Predictions made elsewhere, in the shapes that LawBench and LegalKit write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Example:
    """What a model answered, and what is right."""

    prediction: str
    reference: str


def read_examples(predictions: Path, task: str, data: Path | None = None) -> list[Example]:
    """Predictions with their references, in the order of the questions.

    Known shapes: LawBench's {"0": {"prediction", "refr"}, …}; and with a data file for the references [{"id",
    "prediction"}, …], {id: text}, {task: …}, {"tasks": {task: …}} and {"task": …, "predictions": …}.

    Raises:
        ValueError: naming file and entry, if the shape is another, a reference is missing or a question is unanswered.
    """
    found = _unwrapped(_load(predictions), task)
    answers = _references(data) if data else {}
    rows: dict[int, Example] = {}
    pairs = found.items() if isinstance(found, dict) else [(_id(e, n, predictions), e) for n, e in enumerate(found)]
    for key, entry in pairs:
        where = f"{predictions}, entry {key}"
        text = entry if isinstance(entry, str) else entry.get("prediction") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not str(key).isdigit():
            raise ValueError(f"{where}: expected a number as its id, and text or an object with prediction")
        number = int(key)
        gold = answers.get(number)
        if gold is None and isinstance(entry, dict):
            gold = entry.get("refr", entry.get("gold"))
        if not isinstance(gold, str):
            raise ValueError(f"{where}: no reference; give the benchmark's own file with --data")
        rows[number] = Example(text, gold)
    missing = sorted(set(answers) - set(rows))
    if missing:
        raise ValueError(f"{predictions}: {len(missing)} questions have no prediction, the first is {missing[0]}")
    if not rows:
        raise ValueError(f"{predictions}: no prediction")
    return [rows[number] for number in sorted(rows)]


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None


def _unwrapped(found: Any, task: str) -> Any:
    """The entries of a task, out of whatever holds them."""
    if isinstance(found, dict) and "tasks" in found:
        found = found["tasks"]
    if isinstance(found, dict) and "predictions" in found:
        if found.get("task", task) != task:
            raise ValueError(f"the file holds predictions of task {found['task']}, not of {task}")
        found = found["predictions"]
    if isinstance(found, dict) and task in found:
        found = found[task]
    if not isinstance(found, dict | list):
        raise ValueError(f"expected an object or a list of predictions of task {task}, found {type(found).__name__}")
    return found


def _id(entry: Any, number: int, path: Path) -> Any:
    if not isinstance(entry, dict):
        raise ValueError(f"{path}, entry {number}: expected an object with id and prediction")
    return entry.get("id", number)


def _references(path: Path) -> dict[int, str]:
    found = _load(path)
    if not isinstance(found, list) or not all(isinstance(e, dict) and isinstance(e.get("answer"), str) for e in found):
        raise ValueError(f"{path}: expected a list of objects with answer, as LawBench publishes them")
    return {number: entry["answer"] for number, entry in enumerate(found)}
