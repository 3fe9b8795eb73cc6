"""Predictions made elsewhere, in the shapes that LawBench, LexEval, LegalKit and the official scorers write.

LawBench        {"0": {"prediction": …, "refr": …}, …}
LexEval         lines of {"input": …, "output": …, "answer": …}
LegalKit        [{"id", "prediction"}, …], {id: text}, {task: …}, {"tasks": {task: …}}, {"task": …, "predictions": …}
JEC-QA          {id: ["A", "C"], …}
CAIL2018        lines of {"accusation": […], "articles": […], "imprisonment": months}
CAIL2019        lines of [{"sentence": …, "labels": […]}, …]
JuDGE, CaseGen  lines of {"id", "document"} or {"id", "response"}
our own         lines of {"id", "prediction", "reference"} (scored/) or {"key", "prompt", "answers"} (answers/)

An entry may hold the prompt (origin_prompt, prompt, messages, question, input …), as text or as turns of a chat.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curricula.strict_json import parse
from rl.errors import UserError
from rl.evaluation import matching
from rl.evaluation.benchmark import Question
from rl.evaluation.benchmark_files import values
from rl.inference.thinking import prediction

TEXTS = ("prediction", "output", "document", "response", "ranking")
REFERENCES = ("refr", "gold", "answer", "reference")
ASKED = (
    "instruction", "origin_prompt", "prompt", "messages", "question", "query", "input", "statement", "fact", "sentence",
    "text", "问题",
)  # fmt: skip
"""Fields that hold the prompt, or a part of it."""
ANSWERING = ("bot", "assistant", "model", "gpt")
"""Roles of the turns that are answers."""
CAIL2018 = {"accusation", "articles", "imprisonment"}


@dataclass(frozen=True)
class Prediction:
    """A model's answer to a question, with the reference if the file has one."""

    id: str
    text: str
    reference: Any = None
    asked: str = ""
    """The first prompt, in the chat template, where the file records it in ``origin_prompt``."""
    prompt: str = ""
    """All that the file records of the prompt, from any of its fields."""


def read_predictions(path: Path, task: str, *others: str) -> list[Prediction]:
    """Predictions of a task, in the order of the file. ``others`` are further names of the task.

    Raises:
        UserError: naming file and entry, if the shape is unknown or the file holds no prediction.
    """
    found = _unwrapped(load(path), (task, *others), path)
    rows: dict[str, Prediction] = {}
    for key, entry in _rows(found, path):
        where = f"{path}, entry {key}"
        if key in rows:
            raise UserError(f"{where}: the file holds two predictions with this id")
        rows[key] = Prediction(key, _text(entry, where), _reference(entry), _asked(entry), _prompt(entry))
    if not rows:
        raise UserError(f"{path} holds no prediction of task {task}")
    return list(rows.values())


def tasks_in(path: Path, known: Sequence[str]) -> list[str]:
    """The known tasks that a file names and has predictions of."""
    found = load(path)
    if isinstance(found, dict) and isinstance(found.get("tasks"), dict):
        found = found["tasks"]
    named = [found["task"]] if isinstance(found, dict) and "predictions" in found and "task" in found else found
    return [task for task in known if task in named] if isinstance(named, dict | list) else []


def own_questions(predictions: Sequence[Prediction], where: Path, folder: Path | None = None) -> list[Question]:
    """Questions made from the references in the predictions. Raises UserError if a prediction has none."""
    for one in predictions:
        if one.reference is None:
            raise UserError(f"{where}, entry {one.id}: no reference; give the benchmark's own file with --data")
    return [Question(one.id, one.asked, one.reference, asked=one.asked, folder=folder) for one in predictions]


def in_order(predictions: Sequence[Prediction], questions: Sequence[Question], where: Path) -> list[Prediction]:
    """Predictions in the order of the questions: matched by the prompt where the file records it, else by id, or by
    position where the ids only count the questions.

    Raises:
        UserError: if predictions and questions do not match, or their references differ; it says how many.
    """
    ids = {question.id for question in questions}
    said = _says(predictions, questions)
    named = {one.id for one in predictions} == ids and matching.names(ids)
    problems: list[str] = []
    given = list(predictions)
    if said:
        given, problems = _by_prompt(predictions, questions, named)
    if not said or (problems and named):
        given = _by_id(predictions, questions, where)
        problems = _misplaced(given, questions)
    problems = problems or _differing(given, questions, said)
    if problems:
        raise UserError(
            f"{where}: predictions and data do not belong together: {', '.join(problems)}. Give the data that was "
            f"asked; without --data and --root, predictions that bring their references are scored by those"
        )
    return given


def _says(predictions: Sequence[Prediction], questions: Sequence[Question]) -> bool:
    """Whether predictions and data both hold questions. An instruction without a question does not count."""
    prompts = {one.prompt.strip() for one in predictions}
    if not any(prompts) or not any(question.prompt or any(question.parts) for question in questions):
        return False
    alone = matching.normalised(prompts.pop()) if len(prompts) == 1 and len(predictions) > 1 else ""
    return not alone or matching.Finder(questions).main_of(alone) is not None


def _by_prompt(
    predictions: Sequence[Prediction], questions: Sequence[Question], named: bool
) -> tuple[list[Prediction], list[str]]:
    """Predictions in the order of the questions, matched by the prompt, and sentences on what does not match."""
    prompts, ids, references = zip(*((one.prompt, one.id, one.reference) for one in predictions), strict=True)
    found = matching.place(prompts, ids if named else [""] * len(ids), references, questions)
    lost = [question.id for number, question in enumerate(questions) if number not in found.places]
    problems = []
    if found.unknown:
        what = f"{len(found.unknown)} of {len(predictions)} predictions are of no question, or of one answered already"
        problems.append(f"{what} (the first is entry {ids[found.unknown[0]]})")
    if lost:
        problems.append(f"{len(lost)} of {len(questions)} questions have no prediction (the first is {lost[0]})")
    if found.ambiguous:
        what = f"{len(found.ambiguous)} predictions fit several questions"
        problems.append(f"{what} (the first is entry {ids[found.ambiguous[0]]})")
    return [predictions[found.places[number]] for number in range(len(questions)) if number in found.places], problems


def _differing(given: Sequence[Prediction], questions: Sequence[Question], said: bool) -> list[str]:
    """A sentence if references differ. Without prompts, one reference repeated everywhere counts as none."""
    references = [one.reference for one in given]
    differing = matching.differing(references, questions)
    filler = not said and len(differing) == len(given) and len(set(map(str, references))) == 1
    if not differing or filler:
        return []
    first = questions[differing[0]].id
    return [f"{len(differing)} of {len(questions)} references differ (the first is that of question {first})"]


def _misplaced(given: Sequence[Prediction], questions: Sequence[Question]) -> list[str]:
    """A sentence if ids match, but the prompts of predictions hold another question than their id names."""
    finder = matching.Finder(questions)
    mains = [finder.main_of(matching.normalised(one.prompt)) for one in given]
    wrong = [
        one.id for n, (one, main) in enumerate(zip(given, mains, strict=True)) if main and n not in finder.groups[main]
    ]
    if not wrong:
        return []
    return [f"{len(wrong)} predictions were asked another question than their id names (the first is {wrong[0]})"]


def _by_id(predictions: Sequence[Prediction], questions: Sequence[Question], where: Path) -> list[Prediction]:
    """Match by id, or by position where the ids only count the questions."""
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
    """The entries of a task, taken out of their container."""
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
            key = entry.get("id", entry.get("query_id", number))
            yield str(entry["key"]).partition("/")[2] if _is_journal(entry) else str(key), entry
        else:
            raise UserError(f"{path}, entry {number}: expected an object with id and prediction")


def _text(entry: Any, where: str) -> str:
    if isinstance(entry, dict):
        if set(entry) >= CAIL2018:
            return json.dumps(entry, ensure_ascii=False)
        if "sentence" in entry and isinstance(entry.get("labels"), list):
            return "\n".join(map(str, entry["labels"]))
        if _is_journal(entry):
            return prediction(str(entry["answers"][0]["text"]))
        entry = next((entry[name] for name in TEXTS if name in entry), None)
    if isinstance(entry, list):
        return "\n".join(map(str, entry))
    if not isinstance(entry, str):
        raise UserError(f"{where}: expected text, or an object with one of {', '.join(TEXTS)}")
    return entry


def _is_journal(entry: dict[str, Any]) -> bool:
    """Whether an entry is a line of answers/TASK.jsonl (rl/inference/journal.py)."""
    answers = entry.get("answers")
    return "key" in entry and isinstance(answers, list) and bool(answers) and "text" in answers[0]


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


def _prompt(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    return "\n".join(text for name in ASKED if (text := _as_text(entry.get(name))))


def _as_text(found: Any) -> str:
    """A field as text. Of the turns of a chat, only those that are not answers."""
    if isinstance(found, str):
        return found
    if isinstance(found, dict):
        if str(found.get("role", "")).lower() in ANSWERING:
            return ""
        return _as_text(next((found[name] for name in ("prompt", "content", "text", "value") if found.get(name)), None))
    return "\n".join(filter(None, map(_as_text, found))) if isinstance(found, list) else ""
