"""Perplexity of documents under the current policy, computed by the trainer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rl.data.tokens import Ids, encode_texts
from rl.records import parquet
from rl.samples import supervised_batch

if TYPE_CHECKING:
    from rl.driver.runtime import Runtime

TOKENS_PER_CALL = 32_768
"""Tokens scored by one call of the trainer: few enough that progress shows and a crash costs little."""


@dataclass(frozen=True)
class DocumentScore:
    """How well the policy predicts a document."""

    nll: float
    """Negative log-likelihood of all predicted tokens (nats)."""
    tokens: int
    """Predicted tokens: all but the first of every window."""

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood of a token; infinite for a document of one token."""
        return math.exp(min(700.0, self.nll / self.tokens)) if self.tokens else math.inf


def is_score(answer: dict[str, Any]) -> bool:
    """Whether a cached answer is the score of a document."""
    if answer.keys() != {"nll", "tokens"}:
        return False
    nll, tokens = answer["nll"], answer["tokens"]
    return type(nll) in (int, float) and math.isfinite(nll) and type(tokens) is int and tokens >= 0


def content_key(text: str) -> str:
    """The key under which the score of a document is kept."""
    return hashlib.sha256(text.encode()).hexdigest()


def windows(ids: Ids, window: int) -> list[Ids]:
    """A document in pieces of at most ``window`` tokens; a piece's first token is not predicted."""
    pieces = [ids[start : start + window] for start in range(0, len(ids), window)]
    return [piece for piece in pieces if len(piece) > 1]


def score(
    runtime: Runtime, texts: Sequence[str], window: int, *, max_tokens_per_microbatch: int
) -> Iterator[tuple[list[int], list[DocumentScore]]]:
    """Scores of texts, shortest first, in parts: (places in ``texts``, their scores).

    Texts are tokenized twice, first only for their lengths, so that no more than one part's token ids are in memory.

    Args:
        runtime: the run, whose trainer holds the policy.
        texts: documents.
        window: longest piece in one pass (tokens).
        max_tokens_per_microbatch: tokens of one forward pass.
    """
    lengths = [len(ids) for ids in encode_texts(runtime.tokenizer, texts)]
    order = sorted(range(len(texts)), key=lambda i: lengths[i])
    for places in _parts(order, lengths):
        encoded = encode_texts(runtime.tokenizer, [texts[place] for place in places])
        pieces = [(place, piece) for place, ids in zip(places, encoded, strict=True) for piece in windows(ids, window)]
        sums = dict.fromkeys(places, 0.0)
        counts = dict.fromkeys(places, 0)
        if pieces:
            batch = supervised_batch([(piece, 1) for _, piece in pieces])
            log_probs = runtime.trainer.log_probs(batch, max_tokens_per_microbatch=max_tokens_per_microbatch)
            found = -log_probs.astype(np.float64) * batch.loss_mask
            for number, (place, piece) in enumerate(pieces):
                sums[place] += float(found[batch.offsets[number] : batch.offsets[number + 1]].sum())
                counts[place] += len(piece) - 1
        yield places, [DocumentScore(sums[place], counts[place]) for place in places]


def _parts(order: list[int], lengths: list[int]) -> Iterator[list[int]]:
    part: list[int] = []
    tokens = 0
    for place in order:
        part.append(place)
        tokens += lengths[place]
        if tokens >= TOKENS_PER_CALL:
            yield part
            part, tokens = [], 0
    if part:
        yield part


def corpus_perplexity(runtime: Runtime, texts: Sequence[str], window: int, *, max_tokens_per_microbatch: int) -> float:
    """Perplexity over all tokens of some texts."""
    parts = score(runtime, texts, window, max_tokens_per_microbatch=max_tokens_per_microbatch)
    scores = [found for _, part in parts for found in part]
    return DocumentScore(sum(s.nll for s in scores), sum(s.tokens for s in scores)).perplexity


def scores_file(run_dir: Path, stage: str) -> Path:
    """The file with the scores of a perplexity stage."""
    return run_dir / "perplexity" / f"{stage}.parquet"


def write_scores(path: Path, texts: list[str], scores: list[DocumentScore]) -> None:
    """Write one row a document: the hash of its text, and its score."""
    columns = {
        "key": [content_key(text) for text in texts],
        "nll": [score.nll for score in scores],
        "tokens": [score.tokens for score in scores],
    }
    parquet.write(path, pa.table(columns))


def read_scores(path: Path) -> dict[str, float]:
    """Perplexity of each document by the hash of its text.

    Raises:
        UserError: if the file is missing or damaged.
    """
    rows = parquet.read(path, {"key": str, "nll": float, "tokens": int}, "use resume=restart to score again")
    return {row["key"]: DocumentScore(row["nll"], row["tokens"]).perplexity for row in rows}
