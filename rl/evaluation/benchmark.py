"""What every benchmark offers: tasks, their questions, and how predictions are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Question:
    """One question of a task."""

    id: str
    """Unique within its task; predictions are matched by it."""
    prompt: str
    """The user's message."""
    reference: Any
    """The right answer, as JSON values in the benchmark's own form."""
    system: str = ""
    shots: tuple[tuple[str, str], ...] = ()
    """Worked examples (user, assistant). The last ones are left out until the prompt fits."""
    facets: dict[str, str] = field(default_factory=dict)
    """What tables may group by, such as ``domain`` or ``kind``."""
    asked: str = ""
    """The prompt that a model was really given, in its chat template, where predictions made elsewhere record it."""
    parts: tuple[str, ...] = field(default=(), compare=False)
    """The question as the authors' file has it, without instruction, and further parts such as its options. Predictions
    made elsewhere are matched by them. Empty: they are matched by ``prompt``."""
    folder: Path | None = None
    """Folder that the question comes from, for a metric that needs further files of the benchmark."""


@dataclass(frozen=True, slots=True)
class QuestionScore:
    """The score of one prediction. ``score`` is in [0, 1], or on the metric's own scale where the benchmark says so."""

    id: str
    score: float
    abstained: bool = False
    fixed: float | None = None
    """The score with a known defect of the published code fixed; None where there is no defect."""


@dataclass(frozen=True)
class TaskScore:
    """The scores of a task."""

    score: float
    """As the benchmark's own code computes it."""
    abstention_rate: float
    fixed: float
    """With known defects fixed; equal to ``score`` where there are none."""
    per_question: tuple[QuestionScore, ...]
    further: dict[str, float] = field(default_factory=dict)
    """Other figures that the benchmark reports, such as ``f1`` or ``precision``."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark on the user's copy of its data."""

    name: str
    """As in ``--benchmark`` and as the folder below ``benchmarks.root``."""
    title: str
    source: str
    """Where its authors publish the data, and the paper."""
    tasks: dict[str, str]
    """Title of each task by its key, such as ``3-6``."""
    read: Callable[[Path, str, int], Sequence[Question]]
    """(folder of the benchmark's data, task, shots) -> questions in the order of the file. Raises UserError: for a
    missing file with the dataset, the expected path and the source, for a damaged one with file and entry."""
    score: Callable[[str, Sequence[Question], Sequence[str]], TaskScore]
    """(task, questions, predictions in their order) -> scores. Predictions are answers without their reasoning."""
    contaminated: dict[str, str] = field(default_factory=dict)
    """For a task, the other benchmark whose questions it contains."""
    texts: Callable[[str, Any, str], dict[str, tuple[str, str]]] | None = None
    """(task, reference, prediction) -> the (given, wanted) texts that BERTScore compares, by the prefix of the names of
    their figures; empty for a task whose answers are not texts."""
    unanswered: bool = False
    """Whether the authors' own data leave some questions without a reference."""
    judged: frozenset[str] = frozenset()
    """Tasks whose published score comes from an LLM judge; ``score`` is then the metric without one."""
