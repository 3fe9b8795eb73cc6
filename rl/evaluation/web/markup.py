"""Pieces of the page as HTML. Templates escape everything they print, because answers are untrusted text."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from curricula.errors import DataError
from rl.errors import UserError
from rl.language import Lang, Text, code, say, sayer

log = logging.getLogger(__name__)


@functools.cache
def _environment(lang: Lang) -> Environment:
    found = Environment(
        loader=PackageLoader("rl.evaluation.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {
        "percent": lambda value: "" if value is None else f"{100 * value:.1f}",
        "figure": lambda value: say(lang, Text("none")) if value is None else f"{value:.3g}",
    }
    found.globals |= {"t": sayer(lang), "code": code}
    return found


def show(template: str, lang: Lang, **values: Any) -> str:
    """A template of ``templates/`` in a language, with its values escaped."""
    return _environment(lang).get_template(f"{template}.html.j2").render(**values)


def notice(text: str, level: str = "problem", lang: Lang = "en") -> str:
    """A sentence to the user, as ``problem`` or ``good``; empty for an empty sentence."""
    return show("notice", lang, text=say(lang, text), level=level) if text else ""


def errors_shown(
    otherwise: Callable[..., Any], lang: Lang = "en"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A handler whose errors become ``otherwise(sentence as HTML)`` instead of a traceback."""

    def wrap(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def call(*arguments: Any) -> Any:
            try:
                return handler(*arguments)
            except (UserError, DataError) as error:
                return otherwise(notice(error.args[0] if error.args else str(error), lang=lang))
            except Exception as error:
                log.exception("the web page's %s failed", handler.__name__)
                sentence = Text("This failed: {error}; the server's terminal says more", error=type(error).__name__)
                return otherwise(notice(sentence, lang=lang))

        return call

    return wrap
