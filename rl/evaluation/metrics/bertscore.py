"""BERTScore (Zhang et al. 2020, arXiv 1904.09675) with a model in a local folder, as the package ``bert-score``
computes it without idf weights and without a baseline.

Each token of one text is matched with the most similar token of the other, by the cosine of their embeddings at a
layer. The model's own first and last tokens ([CLS], [SEP]) may be matched but are not counted. Texts longer than the
model's limit are cut; a pair with an empty text scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rl.device import here
from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, TaskScore
from rl.evaluation.scoring import mean

LAYER = 8
"""The layer that ``bert-score`` uses for bert-base-chinese, and LexEval for every model."""


class Similarity(NamedTuple):
    """Mean cosines, over the tokens of the prediction, over those of the reference, and their harmonic mean."""

    precision: float
    recall: float
    f1: float


class BertScore:
    """A model that compares texts."""

    def __init__(self, folder: Path, layer: int = LAYER, batch: int = 32) -> None:
        """Load tokenizer and model up to ``layer``, on the first GPU if there is one.

        Raises:
            UserError: if the folder holds no encoder with a tokenizer, or has fewer layers.
        """
        import torch
        from transformers import AutoConfig, AutoModel, AutoTokenizer, logging

        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; BERTScore needs that of a model such as bert-base-chinese")
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # the layers above are left out on purpose
        try:
            config = AutoConfig.from_pretrained(folder)
            if not 0 < layer <= config.num_hidden_layers:
                raise UserError(f"{folder} has {config.num_hidden_layers} layers, and no layer {layer} for BERTScore")
            config.num_hidden_layers = layer
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
            self._model = AutoModel.from_pretrained(folder, config=config, dtype=torch.float32).eval()
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise UserError(f"{folder} can't be loaded for BERTScore: {error}; give an encoder's folder") from None
        finally:
            logging.set_verbosity(verbosity)
        if None in (self._tokenizer.cls_token_id, self._tokenizer.sep_token_id, self._tokenizer.pad_token_id):
            raise UserError(f"{folder} has no tokens [CLS], [SEP] and [PAD]; BERTScore needs an encoder's folder")
        self._model.to(here().name)
        self._longest = min(self._tokenizer.model_max_length, config.max_position_embeddings)
        self._batch = batch

    def __call__(self, predictions: Sequence[str], references: Sequence[str]) -> list[Similarity]:
        """Similarity of each prediction and its reference."""
        pairs = [(given.strip(), wanted.strip()) for given, wanted in zip(predictions, references, strict=True)]
        by_length = sorted(range(len(pairs)), key=lambda place: max(map(len, pairs[place])))
        found: dict[int, Similarity] = {}
        for start in range(0, len(pairs), self._batch):
            places = by_length[start : start + self._batch]
            given, wanted = (self._embedded([pairs[place][side] for place in places]) for side in (0, 1))
            found |= {place: _matched(*a, *b) for place, a, b in zip(places, given, wanted, strict=True)}
        return [found[place] for place in range(len(pairs))]

    def _embedded(self, texts: list[str]) -> list[tuple[Any, Any]]:
        """(unit embeddings of shape (tokens, width), which tokens count) of each text."""
        import torch

        asked = self._tokenizer(texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
        tokens, mask = asked["input_ids"].to(self._model.device), asked["attention_mask"].to(self._model.device)
        with torch.no_grad():
            states = self._model(tokens, attention_mask=mask).last_hidden_state
        states = torch.nn.functional.normalize(states, dim=-1)
        own = (tokens == self._tokenizer.cls_token_id) | (tokens == self._tokenizer.sep_token_id)
        return [(one[there], ~ours[there]) for one, there, ours in zip(states, mask.bool(), own, strict=True)]


def _matched(given: Any, given_counts: Any, wanted: Any, wanted_counts: Any) -> Similarity:
    if not given_counts.any() or not wanted_counts.any():
        return Similarity(0.0, 0.0, 0.0)
    cosines = given @ wanted.T
    precision = float(cosines.amax(1)[given_counts].mean())
    recall = float(cosines.amax(0)[wanted_counts].mean())
    both = precision + recall
    return Similarity(precision, recall, 2 * precision * recall / both if both else 0.0)


def adding(benchmark: Benchmark, measure: BertScore) -> Benchmark:
    """The benchmark with BERTScore among the further figures of tasks whose answers are texts.

    Raises:
        UserError: if it has no such tasks.
    """
    texts = benchmark.texts
    if texts is None:
        raise UserError(f"{benchmark.title} has no texts to compare; leave out --bertscore")

    def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
        found = benchmark.score(task, questions, predictions)
        pairs: dict[str, list[tuple[str, str]]] = {}
        for question, prediction in zip(questions, predictions, strict=True):
            for name, pair in texts(task, question.reference, prediction).items():
                pairs.setdefault(name, []).append(pair)
        figures = dict(found.further)
        for name, some in pairs.items():
            each = measure([given for given, _ in some], [wanted for _, wanted in some])
            for kind in Similarity._fields:
                figures[f"{name}bertscore_{kind}"] = mean([getattr(one, kind) for one in each])
        return replace(found, further=figures)

    return replace(benchmark, score=score)
