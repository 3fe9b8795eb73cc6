import json
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.errors import DataError
from curricula.mixture import Cell, Mixture, cell_shares, cells_of
from curricula.pas import BUCKETS, phase_shares
from curricula.records import Document


def encode(text):
    return [ord(character) for character in text]


def documents(lengths, letter="法"):
    return [Document(letter * length, letter) for length in lengths]


def build(lengths, shares, seed=1):
    """One cell for each list of document lengths (tokens, with the end mark)."""
    cells = [Cell(number, None, documents([n - 1 for n in some])) for number, some in enumerate(lengths)]
    return Mixture(cells, shares, seed, encode, eos_id=0)


def varied(seed=1, shares=(3.0, 1.0)):
    return build([list(range(2, 40)), list(range(2, 60))], shares, seed)


def test_rows_are_full_and_documents_are_separate():
    found = varied()
    rows, segments = found.next_rows(200, 64)
    assert all(len(row) == len(segment) == 64 for row, segment in zip(rows, segments, strict=True))
    assert 0.74 < found.tokens[0] / sum(found.tokens) < 0.76
    for row, segment in zip(rows, segments, strict=True):
        for place in range(63):
            assert (row[place] == 0) == (segment[place] != segment[place + 1])


SIX = [0.4 * 0.2, 0.4 * 0.5, 0.4 * 0.3, 0.6 * 0.2, 0.6 * 0.5, 0.6 * 0.3]


def test_equal_documents_are_within_one_of_constant_shares_at_every_draw():
    found = build([[10] * 50] * 6, SIX)
    for drawn in range(1, 10_001):
        found.next_rows(1, 10)
        assert all(abs(share * drawn - count) < 1 for share, count in zip(SIX, found.positions, strict=True))
    assert sum(found.positions) == 10_000


def test_drawn_shares_follow_changing_ones_in_every_window():
    found = build([list(range(5, 60)), list(range(20, 90)), list(range(2, 200))], [1, 1, 1])
    for start in range(0, 10_000, 1000):
        before, asked = list(found.tokens), [0.0] * 3
        for step in range(start, start + 1000, 4):
            shares = list(phase_shares("stable", step / 10_000, (0.2, 0.5, 0.3), 5.0).values())
            drawn = sum(found.tokens)
            found.next_rows(4, 250, shares)
            asked = [a + s * (sum(found.tokens) - drawn) for a, s in zip(asked, shares, strict=True)]
        window = sum(found.tokens) - sum(before)
        for cell in range(3):
            assert abs((found.tokens[cell] - before[cell]) - asked[cell]) < 0.01 * window
    assert sum(found.positions) > 10_000


def test_a_cell_without_share_is_not_drawn_and_owed_nothing():
    found = build([[7] * 5, [9] * 5, [11] * 5], [1, 1, 1])
    found.next_rows(5, 40)
    before = list(found.positions)
    found.next_rows(30, 40, [1, 0, 0])
    assert found.positions[1:] == before[1:] and found.credits[1:] == [0, 0]
    tokens = list(found.tokens)
    found.next_rows(300, 40, [1, 1, 0])
    assert abs((found.tokens[0] - tokens[0]) - (found.tokens[1] - tokens[1])) < 40


parts = st.tuples(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 20))
mixes = st.lists(parts, min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(mixes, st.integers(1, 50), st.data())
def test_no_cell_is_far_from_its_share_and_every_resume_is_exact(mix, length, data):
    lengths, weights = [some for some, _ in mix], [weight for _, weight in mix]
    straight = build(lengths, weights)
    resumed = build(lengths, weights)
    behind = sum(1 / k for k in range(1, len(mix)))
    asked = [Fraction(0)] * len(mix)
    for _ in range(20):
        shares = data.draw(st.lists(st.integers(1, 9), min_size=len(mix), max_size=len(mix)))
        resumed_state = json.loads(json.dumps(straight.state_dict()))
        resumed = build(lengths, weights)
        resumed.load_state_dict(resumed_state)
        drawn = sum(straight.tokens)
        assert straight.next_rows(2, length, shares) == resumed.next_rows(2, length, shares)
        drawn = sum(straight.tokens) - drawn
        asked = [a + Fraction(s, sum(shares)) * drawn for a, s in zip(asked, shares, strict=True)]
        for want, got in zip(asked, straight.tokens, strict=True):
            assert got - want < 30 + 1e-6 and want - got <= 30 * behind + 1e-6
    assert straight.state_dict() == resumed.state_dict()


def test_resume_in_the_middle_of_a_document_and_of_an_epoch():
    straight, broken = varied(), varied()
    straight.next_rows(7, 50)
    broken.next_rows(7, 50)
    state = json.loads(json.dumps(broken.state_dict()))
    assert state["rest"] and 0 < state["positions"][0] < 38
    resumed = varied()
    resumed.load_state_dict(state)
    assert straight.next_rows(90, 50, [1, 2]) == resumed.next_rows(90, 50, [1, 2])
    assert resumed.positions[0] > 38


def test_states_of_other_mixtures_are_refused():
    state = varied().state_dict()
    with pytest.raises(DataError, match="state has the keys"):
        varied().load_state_dict({"positions": [0]})
    with pytest.raises(DataError, match="state has the keys"):
        varied().load_state_dict({**state, "extra": 1})
    for other in (varied(seed=2), build([[3], [4]], [1, 1]), build([list(range(2, 40))], [1])):
        with pytest.raises(DataError, match="belongs to a mixture"):
            other.load_state_dict(state)


def epoch(found, n):
    """Texts of ``n`` documents of nine different lengths, by the first row each lies in."""
    return [len(found._next_document([1.0])) for _ in range(n)]


def test_each_epoch_has_its_own_order_that_the_seed_decides():
    one, same, other = (build([list(range(2, 11))], [1], seed) for seed in (1, 1, 2))
    first, second = epoch(one, 9), epoch(one, 9)
    assert sorted(first) == sorted(second) == list(range(2, 11)) and first != second
    assert epoch(same, 18) == first + second
    assert epoch(other, 9) != first


def test_cells_and_their_shares():
    scored = cells_of(0, documents([1, 2, 3, 4]), ["low", "high", None, "low"])
    assert [(cell.name, len(cell.documents)) for cell in scored] == [("0/low", 2), ("0/high", 1)]
    cells = [*scored, *cells_of(1, documents([1]), ["mid"]), *cells_of(2, documents([5, 6]))]
    buckets = dict(zip(BUCKETS, (0.2, 0.5, 0.3), strict=True))
    assert cell_shares(cells, [4, 5, 1], buckets) == pytest.approx([0.4 * 0.4, 0.4 * 0.6, 0.5, 0.1])
    only_mid = {"low": 0.0, "mid": 1.0, "high": 0.0}
    assert cell_shares(cells, [3, 0, 1], only_mid) == pytest.approx([0.75 * 2 / 3, 0.75 / 3, 0, 0.25])
    with pytest.raises(DataError, match="source 2 of the mixture holds no document"):
        cells_of(1, documents([1]), [None])
    with pytest.raises(DataError, match="holds no document"):
        cells_of(0, [])
    with pytest.raises(DataError, match="not all 0"):
        cell_shares(cells, [0, 0, 0])


def test_shares_must_fit_the_cells():
    with pytest.raises(DataError, match="2 cells, but 3 shares"):
        varied(shares=(1, 1, 1))
    for shares in ([0, 0], [2, -1]):
        with pytest.raises(DataError, match="must not be negative"):
            varied().next_rows(1, 10, shares)


def test_a_million_documents_are_drawn_quickly():
    found = Mixture([Cell(0, None, documents([20]) * 1_000_000)], [1.0], 0, encode, eos_id=0)
    found.next_rows(1, 10)
    started = time.process_time()
    found.next_rows(256, 256)
    assert time.process_time() - started < 0.5
