"""A user's benchmark: JSON, JSON Lines or CSV files described in a YAML file.

name: tax
title: Tax questions
source: our exam of 2025
tasks:
  basic:
    title: basic questions
    file: basic.jsonl               # in the benchmark's folder
    prompt: "{question}\\n{options}"  # {field} of an entry
    reference: answer               # field, text or list of texts
    metric: choice                  # exact, choice, f1 (of options), rouge_l or number
    id: id                          # field; left out: the number of the entry
    system: "…"                     # optional
    examples: few_shot.jsonl        # optional, worked examples with the same fields
    facets: [domain]                # optional, fields to group by
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import regex
import yaml

from rewards.parsing import normalised, numbers
from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, TaskScore
from rl.evaluation.benchmark_files import Entry, each_entry, entries, find_file
from rl.evaluation.metrics.choice_letters import letter_f1, letter_set
from rl.evaluation.metrics.text_overlap import plain
from rl.evaluation.on_disk import Lazily, kept
from rl.evaluation.scoring import Metric, Scored, answered, score_each

LONGEST_NAME = 200
"""Bytes of the name of a task."""
_FIELD = regex.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class TaskFile:
    """How the entries of a file become questions."""

    file: str
    prompt: str
    reference: str
    metric: str
    title: str = ""
    id: str = ""
    system: str = ""
    examples: str = ""
    facets: tuple[str, ...] = ()


def _exact(prediction: str, reference: Any) -> Scored:
    wanted = [reference] if isinstance(reference, str) else list(reference)
    return float(normalised(prediction) in {normalised(one) for one in wanted}), not prediction.strip()


def _rouge(prediction: str, reference: Any) -> Scored:
    wanted = [reference] if isinstance(reference, str) else list(reference)
    return max(plain(prediction, one) for one in wanted), not prediction.strip()


def _number(prediction: str, reference: Any) -> Scored:
    given, wanted = numbers(prediction), numbers(str(reference))
    if not wanted:
        raise ValueError(f"the reference {reference!r} holds no number")
    return float(bool(given) and given[-1] == wanted[-1]), not given


METRICS: dict[str, Metric] = {
    "exact": _exact, "choice": letter_set, "f1": letter_f1, "rouge_l": _rouge, "number": _number,
}  # fmt: skip
"""``number`` compares the last number of the answer; ``exact`` leaves out punctuation at the ends."""


def load(path: Path) -> Benchmark:
    """The benchmark that a YAML file describes.

    Raises:
        UserError: naming file, task and key, for a missing or damaged file or an unknown or missing key.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} can't be read as a benchmark in YAML: {error}") from None
    head = _checked(found, str(path), {"name": str, "title": str, "source": str, "tasks": dict}, {"title", "source"})
    tasks = {_name(key, path): _task(value, f"{path}, task {key}") for key, value in head["tasks"].items()}
    if not tasks:
        raise UserError(f"{path}: tasks is empty; describe at least one")
    title, source = head.get("title", head["name"]), head.get("source", str(path))
    return Benchmark(
        name=head["name"],
        title=title,
        source=source,
        tasks={key: task.title or key for key, task in tasks.items()},
        read=_reader(title, source, tasks),
        score=partial(_score, tasks),
    )


def _name(key: Any, path: Path) -> str:
    """The name of a task, which its files get."""
    name = str(key)
    if not name.isprintable() or "/" in name or name.startswith(".") or not 0 < len(name.encode()) <= LONGEST_NAME:
        raise UserError(
            f"{path}: {name[:80]!r} can't be the name of a task, because its files are called so: take printable "
            f"characters without /, no point at the beginning, at most {LONGEST_NAME} bytes"
        )
    return name


def _task(found: Any, where: str) -> TaskFile:
    kinds: dict[str, type] = {field.name: list if field.name == "facets" else str for field in fields(TaskFile)}
    optional = {field.name for field in fields(TaskFile) if field.default is not MISSING}
    chosen = _checked(found, where, kinds, optional)
    if chosen["metric"] not in METRICS:
        raise UserError(f"{where}: metric is {chosen['metric']!r}; use one of {', '.join(METRICS)}")
    if not _FIELD.search(chosen["prompt"]):
        raise UserError(f"{where}: prompt names no field; write one in braces, such as {{question}}")
    return TaskFile(**chosen | {"facets": tuple(map(str, chosen.get("facets", ())))})


def _checked(found: Any, where: str, kinds: Mapping[str, type], optional: set[str]) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UserError(f"{where}: expected keys {', '.join(kinds)}, found {type(found).__name__}")
    for key, value in found.items():
        if key not in kinds:
            raise UserError(f"{where}: unknown key {key}; known are {', '.join(kinds)}")
        if not isinstance(value, kinds[key]):
            raise UserError(f"{where}: {key} must be {kinds[key].__name__}, found {type(value).__name__}")
    missing = [key for key in kinds if key not in found and key not in optional]
    if missing:
        raise UserError(f"{where}: key {missing[0]} is missing")
    return found


def _reader(title: str, source: str, tasks: Mapping[str, TaskFile]) -> Callable[[Path, str, int], Sequence[Question]]:
    def read(folder: Path, task: str, shots: int = 0) -> Sequence[Question]:
        chosen = tasks[task]
        found = each_entry(find_file(title, source, folder, chosen.file))
        examples: list[tuple[str, str]] = []
        if shots:
            if not chosen.examples:
                raise UserError(f"{title}, task {task}: no worked examples; name their file as examples, or ask for 0")
            home = folder if folder.is_dir() else folder.parent
            shown = entries(find_file(title, source, home, chosen.examples))
            examples = [(_filled(chosen.prompt, entry), str(_reference(entry, chosen))) for entry in shown[:shots]]
        seen: dict[str, str] = {}

        def name_of(entry: Entry, number: int) -> str:
            found = entry.fields.get(chosen.id) if chosen.id else number
            if not isinstance(found, str | int) or found == "":
                raise UserError(f"{entry.where}: field {chosen.id} must hold the id, as text or a whole number")
            name = str(found)
            if name in seen:
                raise UserError(f"{entry.where}: the id {name!r} is also that of {seen[name]}; give each its own")
            seen[name] = entry.where
            return name

        return kept(
            Question(
                id=name_of(entry, number),
                prompt=_filled(chosen.prompt, entry),
                reference=_reference(entry, chosen),
                system=chosen.system,
                shots=tuple(examples),
                parts=tuple(sorted((str(entry.fields[name]) for name in _FIELD.findall(chosen.prompt)), key=len)[::-1]),
                facets={name: str(entry.fields[name]) for name in chosen.facets if name in entry.fields},
            )
            for number, entry in enumerate(found)
        )

    return read


def _filled(template: str, entry: Entry) -> str:
    def value(match: regex.Match[str]) -> str:
        if match[1] not in entry.fields:
            raise UserError(f"{entry.where}: the prompt names field {match[1]}; found {', '.join(entry.fields)}")
        return str(entry.fields[match[1]])

    return str(_FIELD.sub(value, template))


def _reference(entry: Entry, task: TaskFile) -> Any:
    found = entry.fields.get(task.reference)
    several = [_text(one) for one in found] if isinstance(found, list) else None
    found = _text(found) if several is None else several
    if not found or not all(several or [found]):
        raise UserError(f"{entry.where}: field {task.reference} must hold the reference, as text or a list of texts")
    return found


def _text(found: Any) -> str:
    """A reference as text; empty for what is none."""
    number = isinstance(found, int | float) and not isinstance(found, bool)
    return found if isinstance(found, str) else str(found) if number else ""


def _score(
    tasks: Mapping[str, TaskFile], task: str, questions: Sequence[Question], predictions: Sequence[str]
) -> TaskScore:
    answers = Lazily(lambda place: answered(predictions[place]), len(predictions))
    return score_each(questions, answers, METRICS[tasks[task].metric])
