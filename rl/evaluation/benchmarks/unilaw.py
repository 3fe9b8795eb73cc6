"""Unilaw-R1-Eval (Cai et al. 2025, arXiv 2510.10072): 800 examination questions with one or several right options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.benchmark_files import find_file
from rl.evaluation.metrics.choice_letters import gold, letter_f1, letter_set
from rl.evaluation.scoring import answered, mean, score_each

SOURCE = "https://github.com/Hanscal/Unilaw-R1 (dataset/UnilawR1Eval.xlsx; Cai et al. 2025, arXiv 2510.10072)"
TASKS = {"single": "one right option", "multiple": "several right options", "all": "all questions"}
COLUMNS = ("instruction", "input", "answer", "知识型/案例型", "法律领域")
KINDS = {"知识型": "knowledge", "案例型": "case"}


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Questions of ``UnilawR1Eval.xlsx``; ids are the column ``index``, or else the number of the row."""
    if shots:
        raise UserError("Unilaw-R1-Eval has no worked examples; ask for 0")
    path = find_file("Unilaw-R1-Eval", SOURCE, folder, "dataset/UnilawR1Eval.xlsx", "UnilawR1Eval.xlsx")
    head, *rows = _rows(path)
    missing = [name for name in COLUMNS if name not in head]
    if missing:
        raise UserError(f"{path}: column {missing[0]} is missing; the first row holds {', '.join(map(str, head))}")
    questions = []
    for number, row in enumerate(rows):
        cells = dict(zip(head, row, strict=False))
        if not all(isinstance(cells[name], str) for name in COLUMNS[:3]):
            raise UserError(f"{path}, row {number + 2}: {', '.join(COLUMNS[:3])} must be text")
        one = len(gold(cells["answer"])) == 1
        if task == "all" or (task == "single") == one:
            questions.append(
                Question(
                    id=str(cells.get("index", number)),
                    prompt=f"{cells['instruction'].rstrip()}\n{cells['input']}",
                    reference=cells["answer"],
                    parts=(cells["input"],),
                    facets={
                        "options": "single" if one else "multiple",
                        "kind": KINDS.get(cells[COLUMNS[3]], str(cells[COLUMNS[3]])),
                        "domain": str(cells[COLUMNS[4]]),
                    },
                )
            )
    return questions


def _rows(path: Path) -> list[tuple[Any, ...]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
        rows = [row for row in book.worksheets[0].iter_rows(values_only=True) if any(cell is not None for cell in row)]
    except (InvalidFileException, BadZipFile, KeyError, OSError) as error:
        raise UserError(f"{path} is not a readable workbook ({error}); fetch it again from {SOURCE}") from None
    if len(rows) < 2:
        raise UserError(f"{path} holds no question; fetch it again from {SOURCE}")
    return rows


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """Share of questions with exactly the right options; ``f1`` is the mean F1 of the options, ``knowledge`` and
    ``case`` the accuracies of the two kinds, ``single`` and ``multiple`` those by the number of right options."""
    given = [answered(text) for text in predictions]
    f1 = score_each(questions, given, letter_f1).score
    facets = {question.id: question.facets for question in questions}

    def further(scores: Sequence[QuestionScore]) -> Mapping[str, float]:
        found = {"f1": f1}
        for facet, values in {"options": ("single", "multiple"), "kind": ("knowledge", "case")}.items():
            for value in values:
                chosen = [one.score for one in scores if facets[one.id].get(facet) == value]
                if chosen:
                    found[value] = mean(chosen)
        return found

    return score_each(questions, given, letter_set, further=further)


BENCHMARK = Benchmark("unilaw", "Unilaw-R1-Eval", SOURCE, TASKS, read, score)
