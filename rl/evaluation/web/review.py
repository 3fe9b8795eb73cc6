"""The tab of blind pairwise review by people."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import gradio as gr

from rl.errors import UserError
from rl.evaluation.reading import readable
from rl.evaluation.web.cited import citations
from rl.evaluation.web.markup import errors_shown, notice, show
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.pairs import Pair, pairs
from rl.evaluation.web.run_folders import find_runs, read_run
from rl.evaluation.web.votes import Choice, Vote, Votes, tallies
from rl.language import Lang, Text
from rl.records.results import wilson

BALLOT = (Text("A is better"), Text("B is better"), Text("tie"), Text("both bad"))


def choice_of(ballot: str | None, swapped: bool) -> Choice:
    """The vote that a ballot means.

    Raises:
        UserError: if nothing was chosen.
    """
    if ballot not in BALLOT:
        raise UserError(Text("no vote is chosen; choose one of the four"))
    if ballot in BALLOT[:2]:
        return "first" if (ballot == BALLOT[0]) != swapped else "second"
    return "tie" if ballot == BALLOT[2] else "bad"


def next_pair(settings: PageSettings, votes: Votes, a: str, b: str, reviewer: str) -> tuple[Pair | None, int]:
    """The first pair that a reviewer has not voted on, None after the last; and on how many they have.

    Raises:
        UserError: if the reviewer has no name, or the runs have no pairs.
    """
    if not reviewer:
        raise UserError(Text("a review needs the reviewer's name; write it into the field Reviewer"))
    found = pairs(read_run(settings.runs, a), read_run(settings.runs, b), reviewer)
    done = votes.done(found[0].first, found[0].second, reviewer)
    left = [pair for pair in found if pair.key not in done]
    return (left[0] if left else None), len(found) - len(left)


def shown(pair: Pair | None, done: int = 0, lang: Lang = "en") -> str:
    """A pair without the names of the runs, below the reviewer's progress; thanks after the last one."""
    if pair is None:
        return notice(Text("Every pair of these runs has your vote; thank you"), "good", lang)
    sides = [
        {"name": name, **vars(readable(side.answers[0])), "citations": citations(side)}
        for name, side in zip("AB", pair.sides, strict=True)
    ]
    return show("pair", lang, pair=pair, sides=sides, done=done)


def win_table(votes: Votes, lang: Lang = "en") -> str:
    """Win rates with 95 % Wilson intervals by pair of runs and task, how far reviewers agree, and how many votes each
    has given."""
    every = votes.all()
    rows = [
        {
            "tally": one,
            "interval": wilson(one.rate() * one.votes, one.votes),
            "choices": get_args(Choice),
            "reviewers": Counter(
                vote.reviewer for vote in every if (vote.first, vote.second) == (one.first, one.second)
            ),
        }
        for one in tallies(every)
    ]
    return show("wins", lang, rows=rows)


def tab(settings: PageSettings) -> list[gr.Dropdown]:
    """The tab's fields and their actions; returns the fields that list runs."""
    votes = Votes(settings.votes)
    names, t, lang = [run.name for run in find_runs(settings.runs)], settings.t, settings.lang
    with gr.Row(equal_height=True):
        wide: dict[str, Any] = {"value": None, "allow_custom_value": True, "min_width": 240}  # on a phone one a line
        a = gr.Dropdown(names, label=t("One run"), elem_id="review-a", **wide)
        b = gr.Dropdown(names, label=t("Another run"), elem_id="review-b", **wide)
        reviewer = gr.Textbox(label=t("Reviewer"), max_lines=1, max_length=100, elem_id="reviewer")
        begin = gr.Button(t("Review"), variant="primary", elem_id="review-start")
    message = gr.HTML(elem_id="review-message")
    current = gr.State(None)
    pair = gr.HTML(elem_id="pair")
    with gr.Column(visible=False) as form:
        ballot = gr.Radio([(t(one), str(one)) for one in BALLOT], label=t("Your vote"), elem_id="ballot")
        comment = gr.Textbox(label=t("Comment"), lines=2, max_length=10_000, elem_id="comment")
        save = gr.Button(t("Save the vote and go on"), variant="primary", elem_id="vote")
    title = t("Win rates (names the runs: open it after your review)")
    with gr.Accordion(title, open=False, elem_id="wins-fold"):
        refresh = gr.Button(t("Count the votes"), size="sm", elem_id="count")
        wins = gr.HTML(elem_id="wins")

    def facing(found: Pair | None, done: int, text: str) -> tuple[Any, ...]:
        return (
            notice(text, "good", lang),
            found,
            shown(found, done, lang),
            gr.Column(visible=found is not None),
            None,
            "",
        )

    @errors_shown(lambda sentence: (sentence, None, "", gr.Column(visible=False), None, ""), lang)
    def start(a: str, b: str, reviewer: str) -> tuple[Any, ...]:
        return facing(*next_pair(settings, votes, a or "", b or "", " ".join((reviewer or "").split())), "")

    @errors_shown(lambda sentence: (sentence, *(gr.skip() for _ in range(5))), lang)
    def vote(current: Pair | None, ballot: str | None, comment: str) -> tuple[Any, ...]:
        if current is None:
            raise UserError(Text("no pair is shown; choose two runs and begin the review"))
        task, question = current.key
        choice = choice_of(ballot, current.swapped)
        votes.add(
            Vote(
                current.first, current.second, task, question, current.reviewer, choice, current.swapped, comment or ""
            )
        )
        following = next_pair(settings, votes, current.first, current.second, current.reviewer)
        return facing(*following, Text("Saved: {task}/{question}", task=task, question=question))

    outputs = [message, current, pair, form, ballot, comment]
    begin.click(start, [a, b, reviewer], outputs, api_name="review")
    save.click(vote, [current, ballot, comment], outputs, api_name="vote")
    counted = errors_shown(lambda sentence: sentence, lang)(lambda: win_table(votes, lang))
    refresh.click(counted, None, wins, api_name="wins")
    return [a, b]
