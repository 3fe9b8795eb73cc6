"""Pieces of the page as HTML. Templates escape everything they print, because answers are untrusted text."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from curricula.errors import DataError
from rl.errors import UserError

log = logging.getLogger(__name__)
_ENVIRONMENT = Environment(
    loader=PackageLoader("rl.evaluation.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
_ENVIRONMENT.filters |= {
    "percent": lambda value: "" if value is None else f"{100 * value:.1f}",
    "figure": lambda value: "none" if value is None else f"{value:.3g}",
}


def show(template: str, **values: Any) -> str:
    """A template of ``templates/`` with its values escaped."""
    return _ENVIRONMENT.get_template(f"{template}.html.j2").render(**values)


def notice(text: str, level: str = "problem") -> str:
    """A sentence to the user, as ``problem`` or ``good``; empty for an empty sentence."""
    return show("notice", text=text, level=level) if text else ""


def errors_shown(otherwise: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A handler whose errors become ``otherwise(sentence as HTML)`` instead of a traceback."""

    def wrap(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def call(*arguments: Any) -> Any:
            try:
                return handler(*arguments)
            except (UserError, DataError) as error:
                return otherwise(notice(str(error)))
            except Exception as error:
                log.exception("the web page's %s failed", handler.__name__)
                sentence = f"This failed: {type(error).__name__}; the server's terminal says more"
                return otherwise(notice(sentence))

        return call

    return wrap
