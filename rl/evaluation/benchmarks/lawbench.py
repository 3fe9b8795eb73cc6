"""LawBench (Fei et al. 2023, arXiv 2309.16289): 20 tasks of 500 questions, with no or one worked example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, TaskScore
from rl.evaluation.benchmark_files import entries, find_file
from rl.evaluation.metrics import proofreading
from rl.evaluation.metrics.lawbench_rules import tasks
from rl.evaluation.scoring import score_each

SOURCE = "https://github.com/open-compass/LawBench (folder data; Fei et al. 2023, arXiv 2309.16289)"
TASKS = {"2-1": "document proofreading"} | {key: task.name for key, task in tasks().items()}


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Questions of ``data/zero_shot/T.json``, or of ``data/one_shot/T.json``, whose instruction holds the example."""
    if shots > 1:
        raise UserError(f"LawBench has no or one worked example, not {shots}; ask for 0 or 1")
    name = f"{'one_shot' if shots else 'zero_shot'}/{task}.json"
    found = entries(find_file("LawBench", SOURCE, folder, f"data/{name}", name))
    home = folder if task == "2-1" else None
    return [
        Question(
            str(number),
            f"{entry.text('instruction')}\n{entry.text('question')}",
            entry.text("answer"),
            parts=(entry.text("question") or entry.text("instruction"),),
            folder=home,
        )
        for number, entry in enumerate(found)
    ]


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """Score and abstention rate as published, and the score without known defects.

    Raises:
        UserError: for a reference that is not of the task's form.
        Unscorable: for task 2-1, if ChERRANT's tables are not with the data, or a package is missing.
    """
    if task == "2-1":
        return proofreading.score(questions, predictions, proofreading.tables_of(questions))
    chosen = tasks()[task]
    return score_each(questions, predictions, chosen.upstream, chosen.fixed, chosen.abstains)


BENCHMARK = Benchmark(
    name="lawbench",
    title="LawBench",
    source=SOURCE,
    tasks=dict(sorted(TASKS.items(), key=lambda item: tuple(map(int, item[0].split("-"))))),
    read=read,
    score=score,
    contaminated={"1-2": "JEC-QA", "3-6": "JEC-QA"},
)
