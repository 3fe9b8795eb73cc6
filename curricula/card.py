"""The corpus card: what a stage's corpus consists of and what was drawn from it, as one JSON object.

    {"stage": "…", "tokens": 0,
     "sources": [{"name", "kind", "documents", "tokens", "share_asked", "share_drawn", "dropped": {reason: n},
                  "meta": {field: {value: n}}, "buckets": {"low", "mid", "high", "dropped"}}],
     "perplexity": {"edges": […], "counts": […]},
     "phases": [{"name", "steps", "shares": {"low", "mid", "high"}}]}

``meta`` and ``buckets`` (numbers of documents), ``perplexity`` and ``phases`` are left out where there are none.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curricula.mixture import Cell
from curricula.pas import BUCKETS, PHASES, Bucket, Phase, bucket_counts
from curricula.sampler import require_keys


@dataclass(frozen=True)
class SourceFacts:
    """What is known about a source before anything is drawn."""

    name: str
    kind: str
    documents: int
    """Documents that cleaning kept."""
    dropped: Mapping[str, int]
    """How many documents cleaning dropped, for each reason."""
    buckets: Sequence[Bucket | None] | None = None
    """Bucket of each document that was kept; None without PAS."""
    meta: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """:func:`curricula.meta.meta_counts` of the documents that were kept."""


@dataclass
class TokenLedger:
    """Tokens asked for and drawn, step by step; its state is part of a checkpoint."""

    steps: dict[str, int] = field(default_factory=dict)
    """Steps of each phase; a stage without phases has one, named ``""``."""
    drawn: dict[str, list[int]] = field(default_factory=dict)
    """Tokens of each cell, for each phase."""
    asked: list[float] = field(default_factory=list)
    """Tokens that the shares asked for, for each cell."""

    def add(self, shares: Sequence[float], before: Sequence[int], after: Sequence[int], phase: Phase | None) -> None:
        """Record a step: the cells' shares (on any scale) and the mixture's token counts before and after it."""
        name = phase or ""
        new = [late - early for early, late in zip(before, after, strict=True)]
        empty = [0] * len(new)
        self.steps[name] = self.steps.get(name, 0) + 1
        self.drawn[name] = [old + n for old, n in zip(self.drawn.get(name, empty), new, strict=True)]
        self.asked = [
            old + share / sum(shares) * sum(new) for old, share in zip(self.asked or empty, shares, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        drawn = {name: list(counts) for name, counts in self.drawn.items()}
        return {"steps": dict(self.steps), "drawn": drawn, "asked": list(self.asked)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state.

        Raises:
            DataError: if its keys are not exactly those of :meth:`state_dict`.
        """
        require_keys("corpus ledger", state, self.state_dict())
        self.steps, self.asked = dict(state["steps"]), list(state["asked"])
        self.drawn = {name: list(counts) for name, counts in state["drawn"].items()}


def corpus_card(
    stage: str,
    sources: Sequence[SourceFacts],
    cells: Sequence[Cell],
    ledger: TokenLedger,
    perplexities: Sequence[float] | None = None,
) -> dict[str, Any]:
    """The card of a stage, as the module's docstring shows it. Shares are shares of tokens."""
    drawn = [sum(counts) for counts in zip(*ledger.drawn.values(), strict=True)] or [0] * len(cells)
    asked = ledger.asked or [0.0] * len(cells)
    total = sum(drawn)
    card: dict[str, Any] = {"stage": stage, "tokens": total, "sources": []}
    for number, source in enumerate(sources):
        mine = [i for i, cell in enumerate(cells) if cell.source == number]
        tokens = sum(drawn[i] for i in mine)
        entry = {
            "name": source.name,
            "kind": source.kind,
            "documents": source.documents,
            "tokens": tokens,
            "share_asked": sum(asked[i] for i in mine) / max(1, total),
            "share_drawn": tokens / max(1, total),
            "dropped": dict(source.dropped),
        }
        if source.meta:
            entry["meta"] = {name: dict(counts) for name, counts in source.meta.items()}
        if source.buckets is not None:
            entry["buckets"] = dict(bucket_counts(source.buckets))
        card["sources"].append(entry)
    if perplexities is not None:
        card["perplexity"] = histogram(perplexities)
    if phases := [name for name in PHASES if name in ledger.steps]:
        card["phases"] = [
            {"name": name, "steps": ledger.steps[name], "shares": _bucket_shares(cells, ledger.drawn[name])}
            for name in phases
        ]
    return card


def histogram(perplexities: Sequence[float], per_decade: int = 10) -> dict[str, list[float]]:
    """Counts of perplexities in bins of equal width on a log scale (``per_decade`` bins for a factor of 10).

    Edges are powers of 10^(1 / per_decade), so cards can be compared; infinite perplexities are left out.
    """
    places = Counter(math.floor(math.log10(p) * per_decade + 1e-9) for p in perplexities if 0 < p < math.inf)
    if not places:
        return {"edges": [], "counts": []}
    first, last = min(places), max(places)
    edges = [round(10 ** (place / per_decade), 6) for place in range(first, last + 2)]
    return {"edges": edges, "counts": [places[place] for place in range(first, last + 1)]}


def _bucket_shares(cells: Sequence[Cell], tokens: Sequence[int]) -> dict[str, float]:
    inside = {name: sum(n for cell, n in zip(cells, tokens, strict=True) if cell.bucket == name) for name in BUCKETS}
    return {name: n / max(1, sum(inside.values())) for name, n in inside.items()}
