"""The tab of blind pairwise review by people."""

from __future__ import annotations

from typing import Any, get_args

import gradio as gr

from rl.errors import UserError
from rl.evaluation.web.markup import errors_shown, notice, show
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.pairs import Pair, pairs
from rl.evaluation.web.run_folders import find_runs, read_run
from rl.evaluation.web.votes import Choice, Vote, Votes, tallies
from rl.records.results import wilson

BALLOT = ("A is better", "B is better", "tie", "both bad")


def choice_of(ballot: str | None, swapped: bool) -> Choice:
    """The vote that a ballot means.

    Raises:
        UserError: if nothing was chosen.
    """
    if ballot not in BALLOT:
        raise UserError("no vote is chosen; choose one of the four")
    if ballot in BALLOT[:2]:
        return "first" if (ballot == BALLOT[0]) != swapped else "second"
    return "tie" if ballot == BALLOT[2] else "bad"


def next_pair(settings: PageSettings, votes: Votes, a: str, b: str, reviewer: str) -> Pair | None:
    """The first pair that a reviewer has not voted on; None after the last.

    Raises:
        UserError: if the reviewer has no name, or the runs have no pairs.
    """
    if not reviewer:
        raise UserError("a review needs the reviewer's name; write it into the field Reviewer")
    found = pairs(read_run(settings.runs, a), read_run(settings.runs, b), reviewer)
    done = votes.done(found[0].first, found[0].second, reviewer)
    return next((pair for pair in found if pair.key not in done), None)


def shown(pair: Pair | None) -> str:
    """A pair without names; thanks after the last one."""
    if pair is None:
        return notice("Every pair of these runs has your vote; thank you", "good")
    return show("pair", pair=pair, sides=[("A", pair.sides[0]), ("B", pair.sides[1])])


def win_table(votes: Votes) -> str:
    """Win rates with 95 % Wilson intervals by pair of runs and task, and how far reviewers agree."""
    rows = [
        {"tally": one, "interval": wilson(one.rate() * one.votes, one.votes), "choices": get_args(Choice)}
        for one in tallies(votes.all())
    ]
    return show("wins", rows=rows)


def tab(settings: PageSettings) -> list[gr.Dropdown]:
    """The tab's fields and their actions; returns the fields that list runs."""
    votes = Votes(settings.votes)
    names = [run.name for run in find_runs(settings.runs)]
    with gr.Row(equal_height=True):
        a = gr.Dropdown(names, value=None, label="One run", allow_custom_value=True, elem_id="review-a")
        b = gr.Dropdown(names, value=None, label="Another run", allow_custom_value=True, elem_id="review-b")
        reviewer = gr.Textbox(label="Reviewer", max_lines=1, max_length=100, elem_id="reviewer")
        begin = gr.Button("Review", variant="primary", elem_id="review-start")
    message = gr.HTML(elem_id="review-message")
    current = gr.State(None)
    pair = gr.HTML(elem_id="pair")
    with gr.Column(visible=False) as form:
        ballot = gr.Radio(list(BALLOT), label="Your vote", elem_id="ballot")
        comment = gr.Textbox(label="Comment", lines=2, max_length=10_000, elem_id="comment")
        save = gr.Button("Save the vote and go on", variant="primary", elem_id="vote")
    with gr.Accordion("Win rates (names the runs: open it after your review)", open=False, elem_id="wins-fold"):
        refresh = gr.Button("Count the votes", size="sm", elem_id="count")
        wins = gr.HTML(elem_id="wins")

    def facing(found: Pair | None, text: str) -> tuple[Any, ...]:
        return notice(text, "good"), found, shown(found), gr.Column(visible=found is not None), None, ""

    @errors_shown(lambda sentence: (sentence, None, "", gr.Column(visible=False), None, ""))
    def start(a: str, b: str, reviewer: str) -> tuple[Any, ...]:
        return facing(next_pair(settings, votes, a or "", b or "", (reviewer or "").strip()), "")

    @errors_shown(lambda sentence: (sentence, *(gr.skip() for _ in range(5))))
    def vote(current: Pair | None, ballot: str | None, comment: str) -> tuple[Any, ...]:
        if current is None:
            raise UserError("no pair is shown; choose two runs and begin the review")
        task, question = current.key
        choice = choice_of(ballot, current.swapped)
        votes.add(
            Vote(
                current.first, current.second, task, question, current.reviewer, choice, current.swapped, comment or ""
            )
        )
        following = next_pair(settings, votes, current.first, current.second, current.reviewer)
        return facing(following, f"Saved: {task}/{question}")

    outputs = [message, current, pair, form, ballot, comment]
    begin.click(start, [a, b, reviewer], outputs, api_name="review")
    save.click(vote, [current, ballot, comment], outputs, api_name="vote")
    refresh.click(errors_shown(lambda sentence: sentence)(lambda: win_table(votes)), None, wins, api_name="wins")
    return [a, b]
