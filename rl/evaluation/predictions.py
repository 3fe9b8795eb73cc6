"""Predictions made elsewhere, in the shapes that LawBench, LexEval, LegalKit and the official scorers write.

LawBench        {"0": {"prediction": …, "refr": …}, …}
LexEval         lines of {"input": …, "output": …, "answer": …}
LegalKit        [{"id", "prediction"}, …], {id: text}, {task: …}, {"tasks": {task: …}}, {"task": …, "predictions": …}
JEC-QA          {id: ["A", "C"], …}
CAIL2018        lines of {"accusation": […], "articles": […], "imprisonment": months}
CAIL2019        lines of [{"sentence": …, "labels": […]}, …]
JuDGE, CaseGen  lines of {"id", "document"} or {"id", "response"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curricula.strict_json import parse
from rl.errors import UserError
from rl.evaluation.benchmark import Question
from rl.evaluation.data import values

TEXTS = ("prediction", "output", "document", "response", "ranking")
REFERENCES = ("refr", "gold", "answer")
CAIL2018 = {"accusation", "articles", "imprisonment"}


@dataclass(frozen=True)
class Prediction:
    """What a model answered to a question, and what is right where the file says it."""

    id: str
    text: str
    reference: Any = None
    asked: str = ""
    """What the model was asked, where the file says it."""


def read_predictions(path: Path, task: str, *others: str) -> list[Prediction]:
    """Predictions of a task, which the file may call by ``others`` as well, in the order of the file.

    Raises:
        UserError: naming file and entry, if the shape is none of the known ones or the file holds no prediction.
    """
    found = _unwrapped(load(path), (task, *others), path)
    rows: dict[str, Prediction] = {}
    for key, entry in _rows(found, path):
        where = f"{path}, entry {key}"
        if key in rows:
            raise UserError(f"{where}: the file holds two predictions with this id")
        rows[key] = Prediction(key, _text(entry, where), _reference(entry), _asked(entry))
    if not rows:
        raise UserError(f"{path} holds no prediction of task {task}")
    return list(rows.values())


def tasks_in(path: Path, known: Sequence[str]) -> list[str]:
    """The known tasks whose predictions a file holds, where it says so."""
    found = load(path)
    if isinstance(found, dict) and isinstance(found.get("tasks"), dict):
        found = found["tasks"]
    named = [found["task"]] if isinstance(found, dict) and "predictions" in found and "task" in found else found
    return [task for task in known if task in named] if isinstance(named, dict | list) else []


def own_questions(predictions: Sequence[Prediction], where: Path, folder: Path | None = None) -> list[Question]:
    """Questions with the references that the predictions bring along. Raises UserError if one has none."""
    for one in predictions:
        if one.reference is None:
            raise UserError(f"{where}, entry {one.id}: no reference; give the benchmark's own file with --data")
    return [Question(one.id, one.asked, one.reference, asked=one.asked, folder=folder) for one in predictions]


def in_order(predictions: Sequence[Prediction], questions: Sequence[Question], where: Path) -> list[Prediction]:
    """Predictions in the order of the questions, matched by id, or by position where the ids count the questions.

    Raises:
        UserError: if a question has no prediction or a prediction no question, naming the first.
    """
    ids = [question.id for question in questions]
    found = {one.id: one for one in predictions}
    if not set(found) & set(ids) and all(key.isdecimal() for key in found):
        ids = [str(number) for number in range(len(ids))]
    missing = [key for key in ids if key not in found]
    if missing:
        raise UserError(f"{where}: {len(missing)} questions have no prediction, the first is {missing[0]}")
    beyond = sorted(set(found) - set(ids))
    if beyond:
        raise UserError(f"{where}, entry {beyond[0]}: the benchmark has no such question")
    return [found[key] for key in ids]


def load(path: Path) -> Any:
    """A JSON value, or the list of values of JSON Lines. Raises UserError naming file and place."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from None
    if path.suffix == ".jsonl":
        return [value for _, value in values(path, text)]
    try:
        return parse(text)
    except ValueError:
        return [value for _, value in values(path, text)]


def _unwrapped(found: Any, names: Sequence[str], path: Path) -> Any:
    """The entries of a task, out of whatever holds them."""
    if isinstance(found, dict) and "tasks" in found:
        found = found["tasks"]
    if isinstance(found, dict) and "predictions" in found:
        if found.get("task", names[0]) not in names:
            raise UserError(f"{path} holds predictions of task {found['task']}, not of {names[0]}")
        found = found["predictions"]
    if isinstance(found, dict):
        found = next((found[name] for name in names if name in found), found)
    if not isinstance(found, dict | list):
        raise UserError(
            f"{path}: expected an object or a list of predictions of task {names[0]}, found {type(found).__name__}"
        )
    return found


def _rows(found: dict[str, Any] | list[Any], path: Path) -> Iterator[tuple[str, Any]]:
    if isinstance(found, dict):
        yield from found.items()
        return
    for number, entry in enumerate(found):
        if isinstance(entry, list):  # CAIL2019: a document of sentences
            yield from ((f"{number}.{place}", sentence) for place, sentence in enumerate(entry))
        elif isinstance(entry, dict):
            yield str(entry.get("id", entry.get("query_id", number))), entry
        else:
            raise UserError(f"{path}, entry {number}: expected an object with id and prediction")


def _text(entry: Any, where: str) -> str:
    if isinstance(entry, dict):
        if set(entry) >= CAIL2018:
            return json.dumps(entry, ensure_ascii=False)
        if "sentence" in entry and isinstance(entry.get("labels"), list):
            return "\n".join(map(str, entry["labels"]))
        entry = next((entry[name] for name in TEXTS if name in entry), None)
    if isinstance(entry, list):
        return "\n".join(map(str, entry))
    if not isinstance(entry, str):
        raise UserError(f"{where}: expected text, or an object with one of {', '.join(TEXTS)}")
    return entry


def _reference(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return None
    found = [entry[name] or "" for name in REFERENCES if name in entry]  # LexEval has references that are null
    return found[0] if found else None


def _asked(entry: Any) -> str:
    found = entry.get("origin_prompt") if isinstance(entry, dict) else None
    if isinstance(found, list) and found and isinstance(found[0], dict):
        found = found[0].get("prompt")
    return found if isinstance(found, str) else ""
