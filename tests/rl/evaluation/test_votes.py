"""Votes of reviewers: no vote is lost or counted twice, and win rates are checked by hand."""

import subprocess
import sys

import pytest

from rl.errors import UserError
from rl.evaluation.web import review
from rl.evaluation.web.votes import Vote, Votes, tallies
from rl.records.results import wilson
from tests.conftest import ROOT


def vote(question, choice, reviewer="a", task="t", first="x", second="y"):
    return Vote(first, second, task, question, reviewer, choice)


WRITER = """
import pathlib, sys
from rl.evaluation.web.votes import Vote, Votes
votes = Votes(pathlib.Path(sys.argv[1]))
for number in range(20):
    votes.add(Vote("x", "y", "t", str(number), sys.argv[2], "first"))
"""


def test_votes_of_concurrent_writers_are_all_kept(tmp_path):
    path = tmp_path / "votes.sqlite"
    names = [f"r{n}" for n in range(3)]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], cwd=ROOT) for name in names]
    assert [writer.wait(300) for writer in writers] == [0, 0, 0]
    found = Votes(path).all()
    assert len(found) == 60 and len(set(found)) == 60
    assert all(Votes(path).done("x", "y", name) == {("t", str(i)) for i in range(20)} for name in names)


def test_each_pair_once_per_reviewer_and_the_first_vote_stays(tmp_path):
    votes = Votes(tmp_path / "v.sqlite")
    votes.add(vote("1", "tie"))
    with pytest.raises(UserError, match="a has voted on this question before"):
        votes.add(vote("1", "first", " a "))
    votes.add(vote("1", "second", "b"))
    assert [(one.reviewer, one.choice) for one in votes.all()] == [("a", "tie"), ("b", "second")]
    for wrong in (vote("2", "best"), vote("2", "tie", " "), vote("2", "tie", first="y", second="x")):
        with pytest.raises(UserError):
            votes.add(wrong)
    with pytest.raises(UserError, match="more than 100 characters"):
        votes.add(vote("2", "tie", "r" * 101))
    (tmp_path / "bad.sqlite").write_text("no database, " * 100)
    with pytest.raises(UserError, match="can't be used"):
        Votes(tmp_path / "bad.sqlite")


def test_win_rates_and_agreement_by_hand(tmp_path):
    given = [
        vote("1", "first"), vote("1", "first", "b"), vote("1", "second", "c"),  # 1 of 3 pairs of votes agrees
        vote("2", "tie"), vote("2", "bad", "b"), vote("3", "first", task="u"),
    ]  # fmt: skip
    both, first, second = tallies(given)
    assert (both.task, first.task, second.task) == ("", "t", "u")
    assert (both.votes, both.counts["first"], both.counts["bad"]) == (6, 3, 1)
    assert both.rate() == pytest.approx((3 + 2 / 2) / 6) and both.rate() + both.rate("second") == pytest.approx(1)
    assert (both.agreed, both.pairs, second.pairs) == (1, 4, 0)
    votes = Votes(tmp_path / "v.sqlite")
    for one in given:
        votes.add(one)
    low, high = wilson(4, 6)
    shown = " ".join(review.win_table(votes).split())
    assert f"66.7 %<small>{100 * low:.1f}–{100 * high:.1f}</small>" in shown
    assert "25.0 %<small>of 4 pairs of votes</small>" in shown
