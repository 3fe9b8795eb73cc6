"""The tab that shows single answers with what they cite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from rl.errors import UserError
from rl.evaluation.judging import text_of
from rl.evaluation.reading import readable
from rl.evaluation.web.cited import citations
from rl.evaluation.web.markup import errors_shown, show
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.run_folders import Answered, answered, find_runs, read_run
from rl.language import Lang, Text

PER_PAGE = 10
OUTCOMES = (Text("all"), Text("right"), Text("wrong"), Text("in between"), Text("abstained"), Text("cut off"))
ALL = Text("all tasks")


def outcome(one: Answered) -> str:
    """``right`` (score of 1 or more), ``wrong`` (0 or less), ``in between`` or ``not scored``."""
    if one.score is None:
        return Text("not scored")
    return Text("right") if one.score >= 1 else Text("wrong") if one.score <= 0 else Text("in between")


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
        "answers": [{**vars(readable(answer)), **_measured(answer)} for answer in one.answers],
        "prediction": str(one.scored.get("prediction", "")),
        "reference": text_of(one.scored["reference"]) if "reference" in one.scored else "",
        "facets": one.scored.get("facets") or {},
        "verdict": {"score": verdict.get("score"), "why": verdict.get("reason") or verdict.get("error") or ""},
        "parts": parts,
        "citations": citations(one),
    }


def _measured(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"tokens": answer.get("completion_tokens"), "truncated": answer.get("truncated", False)}


def page(found: Sequence[Answered], number: int, lang: Lang = "en") -> str:
    """The answers of a page, counted from 1."""
    pages = max(1, -(-len(found) // PER_PAGE))
    if not 1 <= number <= pages:
        raise UserError(
            Text("there is no page {number}; the answers that fit fill {pages}", number=number, pages=pages)
        )
    shown = found[(number - 1) * PER_PAGE : number * PER_PAGE]
    return show("answers", lang, cards=[card(one) for one in shown], total=len(found), number=number, pages=pages)


def tab(settings: PageSettings) -> list[gr.Dropdown]:
    """The tab's fields and their actions; returns the fields that list runs."""
    names, t, lang = [run.name for run in find_runs(settings.runs)], settings.t, settings.lang
    every = (t(ALL), str(ALL))
    with gr.Row():
        run = gr.Dropdown(names, value=None, label=t("Run"), allow_custom_value=True, elem_id="answers-run")
        task = gr.Dropdown([every], value=str(ALL), label=t("Task"), allow_custom_value=True)
        wanted = gr.Dropdown(
            [(t(one), str(one)) for one in OUTCOMES], value="all", label=t("Outcome"), elem_id="answers-outcome"
        )
        search = gr.Textbox(label=t("Search"), placeholder="盗窃", max_lines=1, elem_id="answers-search")
        number = gr.Number(1, label=t("Page"), precision=0, minimum=1, min_width=80)
    shown = gr.HTML(elem_id="answers")

    @errors_shown(lambda sentence: (gr.skip(), gr.skip(), sentence), lang)
    def choose(run: str) -> tuple[Any, int, str]:
        found = read_run(settings.runs, run or "")
        return (
            gr.Dropdown([every, *((task, task) for task in found.tasks)], value=str(ALL)),
            1,
            look(run, ALL, "all", "", 1),
        )

    def look(run: str, task: str, wanted: str, search: str, number: int) -> str:
        if wanted not in OUTCOMES:
            raise UserError(Text("no outcome {wanted}; choose one of the list", wanted=wanted))
        found = read_run(settings.runs, run or "")
        tasks = found.tasks if task in (ALL, "", None) else [task]
        fit = [one for name in tasks for one in answered(found, name) if fits(one, wanted, (search or "").strip())]
        return page(fit, int(number or 1), lang)

    turned = errors_shown(lambda sentence: sentence, lang)(look)

    @errors_shown(lambda sentence: (gr.skip(), sentence), lang)
    def filtered(run: str, task: str, wanted: str, search: str) -> tuple[int, str]:
        return 1, look(run, task, wanted, search, 1)

    filters = [run, task, wanted, search]
    last: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden"}  # a choice made meanwhile counts
    run.input(choose, run, [task, number, shown], api_name="run", **last)
    gr.on([task.input, wanted.input, search.input], filtered, filters, [number, shown], api_name="answers", **last)
    number.input(turned, [*filters, number], shown, api_name="page", **last)
    return [run]
