import json
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.card import SourceFacts, TokenLedger, corpus_card, histogram
from curricula.errors import DataError
from curricula.mixture import Mixture, cell_shares, cells_of
from curricula.pas import phase_of, phase_shares
from curricula.records import Document

WEIGHTS = (0.2, 0.5, 0.3)
BUCKETS = ["low", "mid", "high", None, "mid", "low"]


def documents(n, length=19):
    return [Document("法" * length, "a") for _ in range(n)]


def build():
    cells = [*cells_of(0, documents(6), BUCKETS), *cells_of(1, documents(4))]
    return cells, Mixture(cells, cell_shares(cells, [3, 1]), 0, lambda text: [ord(c) for c in text], 0)


def draw(mixture, cells, ledger, steps):
    for step in steps:
        phase = phase_of(step, 100, 20, 0.3)
        alpha = min(1.0, (step + 1) / 21)
        shares = cell_shares(cells, [3, 1], phase_shares(phase, alpha, WEIGHTS, 5.0, (0, 0, 1)))
        before = list(mixture.tokens)
        mixture.next_rows(4, 50, shares)
        ledger.add(shares, before, mixture.tokens, phase)


FACTS = [
    SourceFacts("statutes", "legal", 6, {"exact_copy": 2}, BUCKETS),
    SourceFacts("news.jsonl", "general", 4, {}),
]


def test_the_card_says_what_was_asked_and_drawn():
    cells, mixture = build()
    ledger = TokenLedger()
    draw(mixture, cells, ledger, range(50))
    resumed = TokenLedger()
    resumed.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    draw(mixture, cells, resumed, range(50, 100))
    card = json.loads(json.dumps(corpus_card("mid", FACTS, cells, resumed, [2.0, 20.0, math.inf])))
    assert card["stage"] == "mid" and card["tokens"] == sum(mixture.tokens) == 100 * 4 * 50
    first, second = card["sources"]
    assert first["buckets"] == {"low": 2, "mid": 2, "high": 1, "dropped": 1} and "buckets" not in second
    assert (first["documents"], first["dropped"], second["kind"]) == (6, {"exact_copy": 2}, "general")
    assert first["tokens"] + second["tokens"] == card["tokens"]
    for source, share in zip(card["sources"], (0.75, 0.25), strict=True):
        assert source["share_asked"] == pytest.approx(share) and abs(source["share_drawn"] - share) < 0.002
    warmup, stable, decay = card["phases"]
    assert [(p["name"], p["steps"]) for p in card["phases"]] == [("re-warm-up", 20), ("stable", 50), ("decay", 30)]
    assert warmup["shares"]["low"] > 0.6 and decay["shares"]["high"] == 1
    assert stable["shares"] == pytest.approx(dict(zip(("low", "mid", "high"), WEIGHTS, strict=True)), abs=0.01)
    assert sum(card["perplexity"]["counts"]) == 2


def test_a_stage_without_pas_has_no_phases():
    cells = cells_of(0, documents(4))
    mixture = Mixture(cells, [1], 0, lambda text: [ord(c) for c in text], 0)
    ledger = TokenLedger()
    mixture.next_rows(3, 20)
    ledger.add([1], [0], mixture.tokens, None)
    card = corpus_card("mid", FACTS[1:], cells, ledger)
    assert card == {
        "stage": "mid",
        "tokens": 60,
        "sources": [
            {
                "name": "news.jsonl", "kind": "general", "documents": 4, "tokens": 60,
                "share_asked": 1.0, "share_drawn": 1.0, "dropped": {},
            }
        ],
    }  # fmt: skip
    assert corpus_card("mid", FACTS[1:], cells, TokenLedger())["tokens"] == 0
    with pytest.raises(DataError, match="corpus ledger state"):
        ledger.load_state_dict({"steps": {}})


@settings(deadline=None)
@given(st.lists(st.floats(1, 1e5), min_size=1, max_size=50))
def test_the_histogram_counts_each_perplexity_once(perplexities):
    found = histogram(perplexities)
    assert sum(found["counts"]) == len(perplexities) and len(found["edges"]) == len(found["counts"]) + 1
    edges = found["edges"]
    assert edges[0] <= min(perplexities) * 1.000001 and max(perplexities) <= edges[-1] * 1.000001
    assert found["counts"][0] and found["counts"][-1]
    assert all(math.isclose(b / a, 10**0.1, rel_tol=1e-4) for a, b in pairwise(edges))


def test_a_histogram_of_nothing():
    assert histogram([math.inf]) == {"edges": [], "counts": []}
    assert histogram([10.0, 10.0, 100.0])["edges"][0] == 10.0
