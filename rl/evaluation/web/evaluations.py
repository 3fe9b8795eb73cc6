"""The tab that starts evaluations and watches them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

from rewards.judge.options import KEY_ENV as JUDGE_KEY_ENV
from rl.errors import UserError
from rl.evaluation import own
from rl.evaluation.benchmarks import BENCHMARKS
from rl.evaluation.run_command import find_benchmark, read_tasks
from rl.evaluation.web.jobs import LOG, Jobs, answers_kept, tail
from rl.evaluation.web.markup import errors_shown, notice, show
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.run_folders import find_runs, inside
from rl.inference.backend import KEY_ENV
from rl.language import Text

BACKENDS = ("vllm", "transformers", "server")
EVERY_S = 3.0
"""Seconds between two refreshes from the folders."""
NUMBERS = {
    "shots": (0, 100), "limit": (0, 10**6), "temperature": (0, 10), "top_p": (0, 1), "max_tokens": (1, 10**6),
    "samples": (1, 1000), "seed": (0, 2**31),
}  # fmt: skip
"""Least and greatest value of each field; a limit of 0 is none."""
FIELDS = {
    "shots": Text("shots"), "limit": Text("limit"), "temperature": Text("temperature"), "top_p": Text("top p"),
    "max_tokens": Text("max tokens"), "samples": Text("samples"), "seed": Text("seed"),
}  # fmt: skip
"""The names of the fields in a sentence."""


def models_in(settings: PageSettings) -> list[str]:
    """Models below the folder of models, by path."""
    if settings.models is None:
        return []
    found = (path.parent for path in settings.models.glob("**/config.json"))
    return sorted(str(path.relative_to(settings.models)) for path in found)


def options_of(
    settings: PageSettings, benchmark: str, tasks: Sequence[str], backend: str, model: str, server: str, served: str,
    numbers: dict[str, float | None], judge: str = "", judge_model: str = "",
) -> tuple[list[str], int]:  # fmt: skip
    """(options of ``python -m rl.evaluate run``, number of questions).

    Raises:
        UserError: for a value that is unknown, outside its folder, or senseless.
    """
    if benchmark not in (own.NAME, *BENCHMARKS):
        raise UserError(Text("no benchmark {name}; choose one of the list", name=benchmark or Text("(none)")))
    if backend not in BACKENDS:
        raise UserError(
            Text("no backend {name}; there are {all}", name=backend or Text("(none)"), all=", ".join(BACKENDS))
        )
    options = [f"--benchmark={benchmark}", f"--backend={backend}", "--batch=4", f"--lang={settings.lang}"]
    if backend == "server":
        options += [f"--server={_address(server)}", f"--served-model={_name(served, Text('Served model'))}"]
    elif settings.models is None:
        raise UserError(Text("the page was started without --models, so that only a server can be evaluated"))
    else:
        options.append(f"--model={inside(settings.models, model, Text('the model'))}")
    values = {name: _number(name, value) for name, value in numbers.items()}
    if values["temperature"] == 0 and values["samples"] > 1:
        raise UserError(Text("several samples at temperature 0 are the same answer every time; raise the temperature"))
    limit = int(values["limit"]) or None
    options += [f"--{name.replace('_', '-')}={value:g}" for name, value in values.items() if name != "limit"]
    options += [f"--limit={limit}"] if limit else []
    options += [f"--root={settings.root}"] if settings.root else []
    options += _judge(benchmark, tasks, (judge or "").strip(), (judge_model or "").strip())
    asked = read_tasks(find_benchmark(benchmark), tasks, settings.root, int(values["shots"]), limit)
    return [*options, *(["--tasks", *tasks] if tasks else [])], sum(len(task.questions) for task in asked)


def _address(text: str) -> str:
    parts = urlsplit((text or "").strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise UserError(
            Text(
                "{text} is not the address of a server; write it like http://127.0.0.1:8000/v1",
                text=text or Text("(none)"),
            )
        )
    return parts.geturl()


def _name(text: str, field: Text) -> str:
    if not (text or "").strip():
        raise UserError(
            Text("a server needs the name of the model that it serves; write it into the field {field}", field=field)
        )
    return text.strip()


def _judge(benchmark: str, tasks: Sequence[str], address: str, model: str) -> list[str]:
    if not (address or model):
        return []
    known = find_benchmark(benchmark)
    if not known.judged & set(tasks or known.tasks):
        raise UserError(Text("none of these tasks is marked by a judge; leave the fields of the judge empty"))
    return [f"--judge={_address(address)}", f"--judge-model={_name(model, Text('Judge model'))}"]


def _number(name: str, value: Any) -> float:
    (low, high), field = NUMBERS[name], FIELDS[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(
            Text(
                "{field} must be a number from {low} to {high:,}, not {value}",
                field=field,
                low=low,
                high=high,
                value=value,
            )
        )
    if name == "top_p" and value == 0:
        raise UserError(Text("top p must be greater than 0"))
    if name not in ("temperature", "top_p") and value != int(value):
        raise UserError(Text("{field} must be a whole number, not {value}", field=field, value=value))
    return value


def environment_for(settings: PageSettings, server: str, judge: str = "") -> dict[str, str]:
    """The environment of an evaluation. It has the key of a server only if the command line allows that server."""
    trusted = {address.rstrip("/") for address in settings.servers}
    sent = {KEY_ENV: server, JUDGE_KEY_ENV: judge}
    kept = {name for name, address in sent.items() if (address or "").strip().rstrip("/") in trusted}
    return {name: value for name, value in os.environ.items() if name not in sent or name in kept}


def overview(settings: PageSettings, jobs: Jobs) -> str:
    """The table of all runs with their progress."""
    rows = []
    for run in find_runs(settings.runs):
        job = jobs.find(run.name)
        rows.append(
            {
                "name": run.name,
                "benchmark": run.head["benchmark"],
                "model": run.head["model"],
                "state": job.state if job else Text("finished") if run.scores else Text("unfinished"),
                "kept": answers_kept(run.path),
                "total": job.total if job else None,
                "average": run.scores.get("average") if run.scores else None,
            }
        )
    return show("overview", settings.lang, rows=rows, folder=str(settings.runs))


def watched(settings: PageSettings, jobs: Jobs, name: str) -> str:
    """Progress and log of one run; empty where none is chosen."""
    if not name:
        return ""
    path = inside(settings.runs, name, Text("the run"))
    job, kept = jobs.find(name), answers_kept(path)
    scored = (path / "scores.json").is_file()
    state = job.state if job else Text("finished") if scored else Text("unfinished")
    total = job.total if job else None
    return show(
        "watched", settings.lang, name=name, state=state, kept=kept, total=total, log=tail(path / LOG),
        here=job is not None,
    )  # fmt: skip


def names(settings: PageSettings, jobs: Jobs) -> list[str]:
    """Runs to choose from, including those that have only been started."""
    started = [path.name for path in Path(settings.runs).iterdir() if path.is_dir() and jobs.find(path.name)]
    return sorted({*(run.name for run in find_runs(settings.runs)), *started})


def tab(settings: PageSettings, jobs: Jobs) -> list[gr.Dropdown]:
    """The tab's fields and their actions; returns the fields that list runs."""
    t, lang = settings.t, settings.lang
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            name = gr.Textbox(label=t("Name of the run"), placeholder="sft-lawbench", max_lines=1, elem_id="run-name")
            benchmark = gr.Dropdown([own.NAME, *BENCHMARKS], value=own.NAME, label=t("Benchmark"), elem_id="benchmark")
            tasks = gr.Dropdown(
                list(own.BENCHMARK.tasks),
                multiselect=True,
                label=t("Tasks (none: all)"),
                allow_custom_value=True,
                elem_id="tasks",
            )
            backend = gr.Radio(
                list(BACKENDS),
                value=BACKENDS[0] if settings.models else "server",
                label=t("Backend"),
                elem_id="backend",
            )
            folder = bool(settings.models)
            model = gr.Dropdown(
                models_in(settings), label=t("Model folder"), value=None, allow_custom_value=True, visible=folder
            )
            with gr.Row(visible=not folder) as address:
                server = gr.Textbox(
                    label=t("Server"), placeholder="http://127.0.0.1:8000/v1", max_lines=1, elem_id="server"
                )
                served = gr.Textbox(label=t("Served model"), max_lines=1, elem_id="served")
            with gr.Accordion(t("Judge"), open=False, visible=False, elem_id="judging") as judging_fold:
                gr.HTML(show("judge", settings.lang, key=JUDGE_KEY_ENV))
                with gr.Row():
                    judge = gr.Textbox(
                        label=t("Judge's server"), placeholder="http://127.0.0.1:8001/v1", max_lines=1, elem_id="judge"
                    )
                    judge_model = gr.Textbox(label=t("Judge model"), max_lines=1, elem_id="judge-model")
            with gr.Accordion(t("Questions and sampling"), open=False, elem_id="sampling"):
                with gr.Row():
                    limit = gr.Number(0, label=t("Limit (0: all)"), min_width=90, elem_id="limit")
                    shots = gr.Number(0, label=t("Shots"), min_width=90)
                    seed = gr.Number(0, label=t("Seed"), min_width=90)
                    samples = gr.Number(1, label=t("Samples a question"), min_width=90)
                with gr.Row():
                    temperature = gr.Number(0, label=t("Temperature"), min_width=90)
                    top_p = gr.Number(1, label=t("Top p"), min_width=90)
                    max_tokens = gr.Number(1024, label=t("Max tokens"), min_width=90)
            with gr.Row():
                begin = gr.Button(t("Start"), variant="primary", elem_id="start")
                stop = gr.Button(t("Stop"), variant="stop", elem_id="stop")
            message = gr.HTML(elem_id="evaluations-message")
        with gr.Column(scale=3, min_width=420):
            table = gr.HTML(overview(settings, jobs), elem_id="overview")
            chosen = gr.Dropdown(names(settings, jobs), value=None, label=t("Watch"), allow_custom_value=True)
            progress = gr.HTML(elem_id="watched")

    def titles(benchmark: str) -> tuple[Any, ...]:
        known = find_benchmark(benchmark) if benchmark in (own.NAME, *BENCHMARKS) else None
        titles = known.tasks if known else {}
        choices = [(task if title in ("", task) else f"{task} {title}", task) for task, title in titles.items()]
        judged = [task for task in titles if known and task in known.judged]
        fold = gr.Accordion(t("Judge of {tasks}", tasks=", ".join(judged)), visible=bool(judged))
        kept = [gr.skip() if judged else "" for _ in (judge, judge_model)]
        return gr.Dropdown(choices, value=[]), fold, *kept

    def fields_of(backend: str) -> tuple[Any, Any]:
        return gr.Dropdown(models_in(settings), visible=backend != "server"), gr.Row(visible=backend == "server")

    @errors_shown(lambda sentence: (sentence, gr.skip()), lang)
    def start(
        name: str, benchmark: str, tasks: list[str] | None, backend: str, model: str, server: str, served: str,
        judge: str, judge_model: str, *given: float | None,
    ) -> tuple[str, Any]:  # fmt: skip
        numbers = dict(zip(NUMBERS, given, strict=True))
        options, total = options_of(
            settings, benchmark, tasks or [], backend, model or "", server, served, numbers, judge, judge_model
        )
        name = (name or "").strip()
        jobs.start(name, options, total, environment_for(settings, server, judge))
        return notice(Text("{name} is started: {total} questions", name=name, total=total), "good", lang), gr.Dropdown(
            names(settings, jobs), value=name
        )

    @errors_shown(lambda sentence: sentence, lang)
    def end(name: str) -> str:
        jobs.stop(name or "")
        return notice(
            Text("{name} is being stopped; start it again with the same settings to resume it", name=name), "good", lang
        )

    @errors_shown(lambda sentence: (gr.skip(), sentence), lang)
    def look(name: str) -> tuple[str, str]:
        return overview(settings, jobs), watched(settings, jobs, name or "")

    benchmark.input(
        titles, benchmark, [tasks, judging_fold, judge, judge_model], api_name="tasks", show_progress="hidden",
        trigger_mode="always_last",
    )  # fmt: skip
    backend.change(fields_of, backend, [model, address], api_name=False, show_progress="hidden")
    numbers = {"shots": shots, "limit": limit, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    numbers |= {"samples": samples, "seed": seed}
    fields = [
        name,
        benchmark,
        tasks,
        backend,
        model,
        server,
        served,
        judge,
        judge_model,
        *(numbers[key] for key in NUMBERS),
    ]
    begin.click(start, fields, [message, chosen], api_name="start")
    stop.click(end, chosen, message, api_name="stop")
    chosen.change(look, chosen, [table, progress], api_name="look", show_progress="hidden")
    gr.Timer(EVERY_S).tick(look, chosen, [table, progress], api_name=False, show_progress="hidden")
    return [chosen]
