"""The tab that shows single answers with what they cite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from rewards.statute_check import Checked, article_of, check_citations
from rl.errors import UserError
from rl.evaluation.judging import text_of
from rl.evaluation.scoring import tried
from rl.evaluation.web.markup import errors_shown, show
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.run_folders import Answered, answered, find_runs, read_run

PER_PAGE = 10
OUTCOMES = ("all", "right", "wrong", "in between", "abstained", "cut off")
FAULTS = {
    "": "",
    "unknown law": "this law does not exist",
    "not in force": "this law is not in force",
    "unknown article": "this article does not exist",
    "unknown part": "the article has no such paragraph or item",
    "replaced": "the quotation is of a text that was replaced",
    "other article": "the quotation stands elsewhere",
    "inexact": "the quotation is inexact",
    "not known": "it can't be checked, because it is not among the statutes",
}
"""The sentence for each fault of a citation."""
ALL = "all tasks"


def outcome(one: Answered) -> str:
    """``right`` (score of 1 or more), ``wrong`` (0 or less), ``in between`` or ``not scored``."""
    if one.score is None:
        return "not scored"
    return "right" if one.score >= 1 else "wrong" if one.score <= 0 else "in between"


def fits(one: Answered, wanted: str, search: str) -> bool:
    """Whether an answer passes the filters; a search looks at id, question, thinking and answer."""
    if wanted == "abstained" and not one.scored.get("abstained"):
        return False
    if wanted == "cut off" and not any(answer.get("truncated") for answer in one.answers):
        return False
    if wanted in ("right", "wrong", "in between") and outcome(one) != wanted:
        return False
    texts = [str(answer.get(name, "")) for answer in one.answers for name in ("text", "thinking")]
    return not search or any(search.casefold() in text.casefold() for text in (one.id, one.prompt, *texts))


def citations(one: Answered) -> list[dict[str, str]]:
    """Articles that the first answer and its thinking cite: name, official text (empty where there is none),
    fault, and whether it is right, wrong or unknown."""
    if not one.answers:
        return []
    whole = f"{one.answers[0].get('thinking', '')}\n{one.text}"
    nothing: list[Checked] = []
    found = []
    for checked in tried(check_citations, whole, nothing):
        article = article_of(checked.ref)
        found.append(
            {
                "name": f"{article.law} {article.number}" if article else f"{checked.ref.law} {checked.ref.place}",
                "text": article.text if article else "",
                "fault": FAULTS[checked.fault] + (f": {checked.reason}" if checked.fault == "not in force" else ""),
                "answer": checked.outcome,
            }
        )
    return found


def card(one: Answered) -> dict[str, Any]:
    """The parts of an answer that a card shows."""
    verdict = one.scored.get("verdict") or {}
    parts = {name: value for name, value in (verdict.get("parts") or {}).items() if isinstance(value, int | float)}
    return {
        "task": one.task,
        "id": one.id,
        "outcome": outcome(one),
        "score": one.score,
        "fixed": one.scored.get("fixed"),
        "prompt": one.prompt,
        "answers": one.answers,
        "prediction": str(one.scored.get("prediction", "")),
        "reference": text_of(one.scored["reference"]) if "reference" in one.scored else "",
        "facets": one.scored.get("facets") or {},
        "verdict": {"score": verdict.get("score"), "why": verdict.get("reason") or verdict.get("error") or ""},
        "parts": parts,
        "citations": citations(one),
    }


def page(found: Sequence[Answered], number: int) -> str:
    """The answers of a page, counted from 1."""
    pages = max(1, -(-len(found) // PER_PAGE))
    if not 1 <= number <= pages:
        raise UserError(f"there is no page {number}; the answers that fit fill {pages}")
    shown = found[(number - 1) * PER_PAGE : number * PER_PAGE]
    return show("answers", cards=[card(one) for one in shown], total=len(found), number=number, pages=pages)


def tab(settings: PageSettings) -> list[gr.Dropdown]:
    """The tab's fields and their actions; returns the fields that list runs."""
    names = [run.name for run in find_runs(settings.runs)]
    with gr.Row():
        run = gr.Dropdown(names, value=None, label="Run", allow_custom_value=True, elem_id="answers-run")
        task = gr.Dropdown([ALL], value=ALL, label="Task", allow_custom_value=True)
        wanted = gr.Dropdown(list(OUTCOMES), value="all", label="Outcome", elem_id="answers-outcome")
        search = gr.Textbox(label="Search", placeholder="盗窃", max_lines=1, elem_id="answers-search")
        number = gr.Number(1, label="Page", precision=0, minimum=1, min_width=80)
    shown = gr.HTML(elem_id="answers")

    @errors_shown(lambda sentence: (gr.skip(), gr.skip(), sentence))
    def choose(run: str) -> tuple[Any, int, str]:
        found = read_run(settings.runs, run or "")
        return gr.Dropdown([ALL, *found.tasks], value=ALL), 1, look(run, ALL, "all", "", 1)

    def look(run: str, task: str, wanted: str, search: str, number: int) -> str:
        if wanted not in OUTCOMES:
            raise UserError(f"no outcome {wanted}; choose one of the list")
        found = read_run(settings.runs, run or "")
        tasks = found.tasks if task in (ALL, "", None) else [task]
        fit = [one for name in tasks for one in answered(found, name) if fits(one, wanted, (search or "").strip())]
        return page(fit, int(number or 1))

    turned = errors_shown(lambda sentence: sentence)(look)

    @errors_shown(lambda sentence: (gr.skip(), sentence))
    def filtered(run: str, task: str, wanted: str, search: str) -> tuple[int, str]:
        return 1, look(run, task, wanted, search, 1)

    filters = [run, task, wanted, search]
    last: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden"}  # a choice made meanwhile counts
    run.input(choose, run, [task, number, shown], api_name="run", **last)
    gr.on([task.input, wanted.input, search.input], filtered, filters, [number, shown], api_name="answers", **last)
    number.input(turned, [*filters, number], shown, api_name="page", **last)
    return [run]
