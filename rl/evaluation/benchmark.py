"""What a benchmark is to the rest: tasks, their questions, and how predictions are scored."""

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
    """What is right, as JSON values of the benchmark's own kind."""
    system: str = ""
    shots: tuple[tuple[str, str], ...] = ()
    """Worked examples (user, assistant). Who asks leaves out the last ones until the prompt fits."""
    facets: dict[str, str] = field(default_factory=dict)
    """What tables may group by, such as ``domain`` or ``kind``."""
    asked: str = ""
    """What a model was asked in fact, where predictions made elsewhere say it: the prompt in a chat's frame."""
    parts: tuple[str, ...] = field(default=(), compare=False)
    """The question as the authors' file has it, without instruction, and further parts such as its options. By them
    predictions made elsewhere are matched; none means that ``prompt`` is all."""
    folder: Path | None = None
    """Where the question comes from, for a metric that needs further files of the benchmark."""


@dataclass(frozen=True)
class QuestionScore:
    """How one prediction did. ``score`` is in [0, 1], or on the metric's own scale where the benchmark says so."""

    id: str
    score: float
    abstained: bool = False
    fixed: float | None = None
    """The score where a known defect of the published code is mended; None where there is none."""


@dataclass(frozen=True)
class TaskScore:
    """How a task did."""

    score: float
    """As the benchmark's own code computes it."""
    abstention_rate: float
    fixed: float
    """With known defects mended; equal to ``score`` where there are none."""
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
    read: Callable[[Path, str, int], list[Question]]
    """(folder of the benchmark's data, task, shots) -> questions in the order of the file. Raises UserError naming the
    dataset, the expected path and the source where a file is missing, and file and entry where it is damaged."""
    score: Callable[[str, Sequence[Question], Sequence[str]], TaskScore]
    """(task, questions, predictions in their order) -> scores. Predictions are answers without their reasoning."""
    contaminated: dict[str, str] = field(default_factory=dict)
    """For a task, the other benchmark whose questions it contains."""
    texts: Callable[[str, Any, str], dict[str, tuple[str, str]]] | None = None
    """(task, reference, prediction) -> (given, wanted) texts that BERTScore compares, by the head of their figures'
    names; nothing for a task whose answers are no texts."""
    judged: frozenset[str] = frozenset()
    """Tasks whose published score comes from an LLM judge; ``score`` is then the metric without one."""
