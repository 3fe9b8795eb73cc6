"""The questions of the benchmarks that are there, for the search of them in training data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curricula.contamination import Found, TestQuestion, frame, plain
from rl.errors import UserError
from rl.evaluation.benchmark_files import MissingData
from rl.evaluation.benchmarks import find, folder_of


def questions(names: Sequence[str], root: Path) -> Found:
    """The questions of benchmarks (``lawbench``) or single tasks (``lawbench:3-6``) below a root.

    Raises:
        UserError: for an unknown name, damaged data, or if there is no data at all.
    """
    found = Found()
    for name in names:
        benchmark_name, _, only = name.partition(":")
        benchmark = find(benchmark_name)
        if only and only not in benchmark.tasks:
            raise UserError(f"{benchmark.title} has no task {only}; its tasks are {', '.join(benchmark.tasks)}")
        for task in [only] if only else benchmark.tasks:
            try:
                read = benchmark.read(folder_of(root, benchmark), task, 0)
            except MissingData:
                found.missing.append(f"{benchmark.name} {task}")
                continue
            texts = [plain(question.prompt) for question in read]
            start, end = frame(texts)
            found.frames.add((start, end))
            found.items += [
                TestQuestion(f"{benchmark.name} {task}", question.id, text.removeprefix(start).removesuffix(end))
                for question, text in zip(read, texts, strict=True)
            ]
    if not found.items:
        raise UserError(f"{root} holds no data of {', '.join(names)}; see python -m rl.evaluate list --root {root}")
    return found
