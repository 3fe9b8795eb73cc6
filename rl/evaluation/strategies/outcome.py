"""Outcome reward models: scores of answers without the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from rewards.judge.service import JudgeService
from rewards.total import find, score
from rewards.verdict import Sample
from rl.device import here
from rl.errors import UserError
from rl.evaluation.benchmark import Question
from rl.inference.backend import Answer
from rl.inference.thinking import whole
from rl.models.template import try_template

Pair = tuple[Question, Answer]


class OutcomeModel(Protocol):
    """Scores answers."""

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        """One score for each answer, or None. Higher is better; scores are comparable within a question."""


def better(new: float | None, old: float | None) -> bool:
    """Whether a score is strictly higher; a missing score is lower than any other."""
    return new is not None and (old is None or new > old)


def best(scores: Sequence[float | None]) -> int:
    """Place of the first of the highest scores."""
    place = 0
    for number, found in enumerate(scores):
        if better(found, scores[place]):
            place = number
    return place


def _sample(question: Question, answer: Answer) -> Sample:
    """Without the reference, because the strategies must find it."""
    return Sample(question.prompt, whole(answer), "", question.facets.get("answer_kind", "text"))


class RewardOutcome:
    """A reward of the registry that needs no reference, such as legal_validity, citation or format."""

    def __init__(self, name: str) -> None:
        try:
            find(name)
        except ValueError as error:
            raise UserError(str(error)) from None
        self.name = name

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        """The reward's scores.

        Raises:
            UserError: if no answer can be scored, for example because the reward compares with a reference.
        """
        verdicts = [score(self.name, _sample(*pair)) for pair in pairs]
        if verdicts and all(verdict.error is not None for verdict in verdicts):
            raise UserError(
                f"the reward {self.name} can't judge an answer without its reference ({verdicts[0].error}); "
                f"use --outcome reward:legal_validity, a judge or a classifier"
            )
        return [verdict.score for verdict in verdicts]


class JudgeOutcome:
    """A language model as judge, by the template ``outcome``."""

    def __init__(self, judge: JudgeService) -> None:
        self.judge = judge

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        """The judge's points in [0, 1]; None where it gave no verdict.

        Raises:
            UserError: if it gave no verdict at all.
        """
        verdicts = self.judge.verdicts("outcome", [_sample(*pair) for pair in pairs])
        if verdicts and all(verdict.error is not None for verdict in verdicts):
            raise UserError(f"the judge gave no verdict: {verdicts[0].error}; start it, or take another --outcome")
        return [verdict.score for verdict in verdicts]


class ClassifierOutcome:
    """A sequence-classification model of transformers: its single logit, or the log-odds of its last label."""

    def __init__(self, folder: str, batch_size: int = 16, trust_remote_code: bool = False) -> None:
        """Load the model, on a GPU if there is one. Raises UserError if there is none in the folder."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, trust_remote_code=trust_remote_code, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise UserError(f"no sequence-classification model in {folder}: {str(error).splitlines()[0]}") from None
        try_template(self.tokenizer)
        self.model: Any = model.to(here().name).eval()
        self.batch_size = batch_size
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model.config.pad_token_id = self.tokenizer.pad_token_id

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        """The model's scores; a text that is too long is read from its end."""
        import torch

        texts = [self._text(*pair) for pair in pairs]
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        longest = getattr(self.model.config, "max_position_embeddings", None) or 4096
        self.tokenizer.truncation_side = "left"
        found: list[float | None] = [None] * len(texts)
        for start in range(0, len(order), self.batch_size):
            some = order[start : start + self.batch_size]
            batch = self.tokenizer(
                [texts[place] for place in some], return_tensors="pt", padding=True, truncation=True,
                max_length=longest, add_special_tokens=self.tokenizer.chat_template is None,
            ).to(self.model.device)  # fmt: skip
            batch.pop("token_type_ids", None)
            with torch.inference_mode():
                logits = self.model(**batch).logits.float()
            values = logits[:, 0] if logits.shape[1] == 1 else logits[:, -1] - logits[:, :-1].logsumexp(-1)
            for place, value in zip(some, values.tolist(), strict=True):
                found[place] = float(value)
        return found

    def _text(self, question: Question, answer: Answer) -> str:
        turns = [{"role": "user", "content": question.prompt}, {"role": "assistant", "content": whole(answer)}]
        if self.tokenizer.chat_template:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False))
        return f"{question.prompt}\n{whole(answer)}"


def outcome_model(written: str, judge: JudgeService | None) -> OutcomeModel:
    """The model that ``judge``, ``reward:NAME`` or ``classifier:FOLDER`` names.

    Raises:
        UserError: if there is no such model.
    """
    kind, _, name = written.partition(":")
    if kind == "reward" and name:
        return RewardOutcome(name)
    if kind == "classifier" and name:
        return ClassifierOutcome(str(Path(name).expanduser()))
    if kind == "judge" and not name:
        if judge is None:
            raise UserError("--outcome judge needs --judge URL and --judge-model NAME")
        return JudgeOutcome(judge)
    raise UserError(f"--outcome {written}: write judge, reward:NAME or classifier:FOLDER")
