"""Choice questions with their right options, from the files that people have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from curricula.errors import DataError
from curricula.records import each_prompt
from rl.errors import UserError
from rl.evaluation.benchmark_files import Entry, each_entry
from rl.evaluation.benchmarks import jecqa, unilaw
from rl.synthesis.answer_check import right_options
from rl.synthesis.documents import DIGITS, without_copies
from rl.synthesis.papers.paper import Choice, Unread
from rl.synthesis.papers.read import are_papers, read_papers
from rl.synthesis.records import Fields, Outcome, Record


def read_questions(path: Path, limit: int | None = None) -> Iterator[Outcome]:
    """What became of each question of a file, of a folder of JEC-QA, or of exam papers. Those of a file come one by
    one; a JSON list and a workbook are read whole.

    A workbook has the columns of Unilaw-R1-Eval. JSON, JSON Lines and CSV have the fields of JEC-QA (statement,
    option_list, answer), or question, options and answer; JSON Lines and Parquet may have those of a GRPO stage. Exam
    papers are .pdf or .txt files, or a folder of them (:mod:`rl.synthesis.papers`).

    Raises:
        UserError: if there is no such file, it is damaged, or has none of these forms.
        DataError: if a file of prompts is malformed.
    """
    if are_papers(path):
        yield from _of_papers(path, limit)
        return
    answers: dict[str, str] = {}

    def checked() -> Iterator[tuple[str, str, str]]:
        for place, (text, answer) in enumerate(islice(_read(path), limit), 1):
            source = f"{path.name}:{place}"
            answers[source] = answer
            try:
                right_options(answer)
                yield source, text, ""
            except DataError as error:
                yield source, "", f"{source}: {error}"

    for one in without_copies(checked()):
        answer = answers.pop(one.fields["source"])
        yield _question(one, answer) if one.made else one


def _of_papers(path: Path, limit: int | None) -> list[Outcome]:
    """What became of each question of exam papers, and of each paper that can't be read."""
    found, known = [], {}
    texts: list[tuple[str, str, str]] = []
    for source, one in islice(read_papers(path), limit):
        if isinstance(one, Choice):
            known[source] = one
            options = _options(one.options)
            texts.append((source, f"{jecqa.INSTRUCTION}\n{one.stem}\n{options}", ""))
        elif isinstance(one, Unread):
            name = hashlib.sha256(f"question {source}".encode()).hexdigest()[:DIGITS]
            found.append(Outcome(name, "failed", {"source": source}, one.reason, one.detail))
        else:
            texts.append((source, "", one))
    for outcome in without_copies(texts):
        paper = known.get(outcome.fields["source"])
        more = {"explanation": paper.explanation} if paper and paper.explanation else {}
        found.append(_question(outcome, paper.answer, more) if outcome.made and paper else outcome)
    return found


def _question(outcome: Outcome, answer: str, more: Fields | None = None) -> Outcome:
    (record,) = outcome.made
    right = right_options(answer)
    fields: Fields = (more or {}) | {
        "source": record.fields["source"],
        "question": record.fields["text"],
        "reference": "".join(sorted(right)),
        "answer_kind": "choice",
        "scenario": "single" if len(right) == 1 else "multiple",
    }
    return Outcome(outcome.id, "kept", fields, made=(Record(record.id, fields, record.lineage),))


def _read(path: Path) -> Iterator[tuple[str, str]]:
    """(question, answer) of each."""
    if path.suffix == ".xlsx":
        yield from ((one.prompt, one.reference) for one in unilaw.read(path, "all"))
    elif path.is_dir():
        yield from _of_jecqa(path)
    elif path.suffix == ".parquet":
        yield from _prompts(path)
    else:
        if not path.is_file():
            raise UserError(f"input={path}: no such file or folder; name a file of choice questions")
        found = each_entry(path)
        first = next(found)
        if "statement" in first.fields:
            yield from _of_jecqa(path)
        elif "prompt" in first.fields:
            yield from _prompts(path)
        else:
            yield from map(_own, chain([first], found))


def _of_jecqa(path: Path) -> Iterator[tuple[str, str]]:
    return ((one.prompt, _joined(one.reference)) for one in jecqa.each_question(path, "all"))


def _prompts(path: Path) -> Iterator[tuple[str, str]]:
    for prompt in each_prompt(path):
        if prompt.answer_kind != "choice":
            raise UserError(f"{prompt.where}: answer_kind is {prompt.answer_kind}; only choice questions are read here")
        yield prompt.messages[-1]["content"], prompt.reference


def _own(entry: Entry) -> tuple[str, str]:
    """Of an entry with question, options (object, list or text; may be a part of the question) and answer."""
    options = _options(entry.fields.get("options"))
    text = "\n".join(part for part in (jecqa.INSTRUCTION, entry.text("question"), options) if part)
    return text, _joined(entry.fields.get("answer"))


def _options(given: Any) -> str:
    if isinstance(given, Mapping):
        return "\n".join(f"{letter}: {text}" for letter, text in given.items())
    if isinstance(given, list):
        return "\n".join(
            f"{letter}: {jecqa.LETTER.sub('', str(text))}" for letter, text in zip("ABCDEFGH", given, strict=False)
        )
    return str(given or "")


def _joined(answer: Any) -> str:
    return "".join(map(str, answer)) if isinstance(answer, list) else str(answer or "")
