"""Marks of a language model as judge for tasks whose answers are texts."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewards.judge.client import JudgeSettings
from rewards.judge.options import KEY_ENV
from rewards.judge.prompts import DIMENSIONS
from rewards.judge.service import JudgeService
from rewards.verdict import Sample, Verdict
from rl.evaluation.benchmark import Benchmark, Question
from rl.inference.json_lines import write_lines

CRITERIA = {
    "lexeval/5_1": "summary",
    "lexeval/5_2": "judicial_analysis",
    "lexeval/5_3": "translation",
    "lexeval/5_4": "consultation",
    "disc/qa": "consultation",
    "casegen/defense": "casegen_defense",
    "casegen/fact": "casegen_fact",
    "casegen/reasoning": "casegen_reasoning",
    "casegen/judgement": "casegen_judgement",
}
"""Criterion of a benchmark's task; every other judged task is given points by ``rubric``."""


@dataclass(frozen=True)
class Marks:
    """The judge's verdicts on a task's answers."""

    criterion: str
    verdicts: tuple[Verdict, ...]
    """One for each question, in order. A verdict that is an error has no score."""

    @property
    def scores(self) -> list[float]:
        """Scores in [0, 1] of the verdicts that are not errors."""
        return [verdict.score for verdict in self.verdicts if verdict.score is not None]

    def to_json(self) -> dict[str, Any]:
        """Mean score (None without any), mean of each dimension, how many were judged, and how many errored."""
        scores = self.scores
        good = [verdict for verdict in self.verdicts if verdict.error is None]
        mean = sum(scores) / len(scores) if scores else None
        parts = {  # an answer that addresses the judge gets the lowest points in every dimension
            name: sum(verdict.parts.get(name, verdict.score or 0.0) for verdict in good) / max(1, len(good))
            for name in DIMENSIONS[self.criterion]
        }
        errors = [verdict.error for verdict in self.verdicts if verdict.error is not None]
        found = {"criterion": self.criterion, "score": mean, "parts": parts, "n": len(scores), "errored": len(errors)}
        return found | ({"first_error": errors[0]} if errors else {})


def service(url: str, model: str, cache: Path | None, concurrency: int = 16, guided: Any = "json") -> JudgeService:
    """The judge that is served at an address, with its key from the environment and its answers kept in ``cache``."""
    settings = JudgeSettings(
        base_url=url.rstrip("/"),
        model=model,
        api_key=os.environ.get(KEY_ENV),
        concurrency=concurrency,
        guided=guided,
        max_tokens=1024,
        timeout_s=120.0,
    )
    return JudgeService(settings, cache, batch_timeout_s=24 * 3600.0)


def service_of(chosen: argparse.Namespace) -> JudgeService | None:
    """The judge that the options name, with its answers kept in the folder of the results; None if they name none."""
    if not (chosen.judge and chosen.judge_model):
        return None
    cache = chosen.out / "judge.sqlite"
    return service(chosen.judge, chosen.judge_model, cache, chosen.concurrency, chosen.judge_guided)


def judge(
    benchmark: Benchmark, task: str, questions: Sequence[Question], predictions: Sequence[str], judge: JudgeService
) -> Marks:
    """The judge's points for each prediction; it sees the reference too."""
    criterion = CRITERIA.get(f"{benchmark.name}/{task}", "rubric")
    samples = [
        Sample(question.prompt, prediction, text_of(question.reference))
        for question, prediction in zip(questions, predictions, strict=True)
    ]
    return Marks(criterion, tuple(judge.verdicts(criterion, samples)))


def text_of(reference: Any) -> str:
    """A reference in the form that the judge sees."""
    return reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False)


def save(path: Path, questions: Sequence[Question], marks: Marks) -> None:
    """Write the verdicts of a task, one a line."""
    pairs = zip(questions, marks.verdicts, strict=True)
    write_lines(
        path, ({"id": question.id, "criterion": marks.criterion, **verdict.to_json()} for question, verdict in pairs)
    )
