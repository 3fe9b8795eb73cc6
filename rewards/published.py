"""Published totals by name: each stands for its weighted parts wherever a reward is named."""

from collections.abc import Mapping
from typing import NamedTuple


class PublishedTotal(NamedTuple):
    """A total reward."""

    parts: Mapping[str, float]
    source: str
    """Where it is from and what is chosen here."""


PUBLISHED = {
    "unilaw": PublishedTotal(
        {"accuracy": 1.0, "format": 0.5, "legal_validity": 0.5},
        "Unilaw-R1 (arXiv 2510.10072) eq. 6. Its weights are not in any copy that could be read; chosen here so that "
        "the right answer weighs as much as form and validity together. legal_validity is R_legal / 2.",
    ),
    "judge_r1": PublishedTotal(
        {
            "article_f1": 0.21,
            "charge_f1": 0.18,
            "term_ratio": 0.12,
            "fine_ratio": 0.09,
            "rouge_l": 0.3,
            "think_length": 0.1,
        },
        "Judge-R1: .60 legal (.35 article, .30 charge, .20 term, .15 fine) + .30 text + .10 think. Its text part is "
        "BERTScore; ROUGE-L stands in for it, so that no second model is needed. The reference must name article, "
        "charge, term and fine.",
    ),
    "pdp": PublishedTotal(
        {"gated_accuracy": 1.0}, "PDP (arXiv 2605.28464): 1 right, 0.1 wrong in the right format, 0 else."
    ),
    "legal_delta": PublishedTotal(
        {"tag_counts": 1.0, "accuracy": 5.0},
        "LegalDelta (arXiv 2508.12281): format up to 1 plus a task score up to 5. Its factor for information gain "
        "needs the policy's logits with and without reasoning and is left out.",
    ),
}
"""LegalDelta, Judge-R1, PDP and Unilaw-R1."""
