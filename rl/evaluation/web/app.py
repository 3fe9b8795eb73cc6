"""The page: four tabs, and the application that serves them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from rl.evaluation.web import evaluations, review, side_by_side, single_answers
from rl.evaluation.web.guard import Guarded
from rl.evaluation.web.jobs import Jobs
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.run_folders import find_runs
from rl.language import Text

TITLE = Text("Themis: evaluations")
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
FONTS = ["system-ui", "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "sans-serif"]
MONO = ["ui-monospace", "DejaVu Sans Mono", "Noto Sans Mono CJK SC", "monospace"]


def blocks(settings: PageSettings, jobs: Jobs) -> gr.Blocks:
    """The tabs. Lists of runs are read again when the page or a tab is opened."""
    t = settings.t
    with gr.Blocks(title=t(TITLE), analytics_enabled=False) as page:
        gr.Markdown(f"# {t('Evaluations')}")
        fresh: list[tuple[Any, Callable[[], list[str]], list[Any]]] = []
        with gr.Tab(t("Evaluations")) as first:
            fresh.append((first, lambda: evaluations.names(settings, jobs), evaluations.tab(settings, jobs)))
        with gr.Tab(t("Compare")) as second:
            fresh.append((second, lambda: side_by_side.scored_runs(settings), side_by_side.tab(settings)))
        with gr.Tab(t("Answers")) as third:
            fresh.append((third, lambda: [run.name for run in find_runs(settings.runs)], single_answers.tab(settings)))
        with gr.Tab(t("Review")) as fourth:
            fresh.append((fourth, lambda: [run.name for run in find_runs(settings.runs)], review.tab(settings)))
        for tab, names, fields in fresh:
            _refresh([page.load, tab.select], names, fields)
    return page


def _refresh(events: list[Any], names: Callable[[], list[str]], fields: list[Any]) -> None:
    def again() -> Any:
        found = names()
        updates = [gr.Dropdown(found) for _ in fields]
        return updates if len(updates) > 1 else updates[0]

    gr.on(events, again, None, fields, api_name=False, show_progress="hidden")


def application(settings: PageSettings, jobs: Jobs, host: str, port: int, token: str) -> FastAPI:
    """The page as an ASGI application, for those who have the token. On a loopback host, requests for another host name
    are refused, so that no web page can reach it through a name that resolves to this machine."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    app.add_middleware(Guarded, token=token, port=port)
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    theme = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=MONO)
    return gr.mount_gradio_app(
        app, blocks(settings, jobs), "/", server_name=host, server_port=port, footer_links=[], run_history=False,
        show_error=False, max_file_size="1kb", ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
        theme=theme, css=(Path(__file__).parent / "style.css").read_text(encoding="utf-8"),
    )  # fmt: skip
