"""The language of the pages, English or Chinese. English stands where it is said, Chinese in ``chinese.yaml``.

A text that is made far from the page, such as a finding, is a :class:`Text`: English for whoever prints it, and still
known by its template, so that :func:`say` can say it in Chinese.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from markupsafe import Markup

Lang = Literal["en", "zh"]
LANGS: tuple[Lang, ...] = get_args(Lang)
HTML_LANG = {"en": "en", "zh": "zh-Hans"}
"""The languages as HTML names them."""


class Text(str):
    """A text in English that keeps its template and the values in it; of these some may be texts themselves."""

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, /, **values: Any) -> Self:
        """``template`` with its ``{names}`` filled in."""
        made = super().__new__(cls, template.format(**values))
        made.template, made.values = template, values
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        """So that a copy is made from the template."""
        return (self.template,), self.values


def listed(texts: Sequence[str], between: str = ", ") -> Text:
    """Several texts as one."""
    names = [f"text{place}" for place in range(len(texts))]
    return Text(between.join(f"{{{name}}}" for name in names), **dict(zip(names, texts, strict=True)))


def say(lang: Lang, text: str, /, **values: Any) -> str:
    """A text in a language. Values are filled in; those that are texts are said in the language as well.

    A text that the catalogue does not have, such as the name of a task, stays as it is. HTML among the values
    (:class:`markupsafe.Markup`) stays HTML, and the rest is escaped.
    """
    template, values = (text.template, text.values) if isinstance(text, Text) else (str(text), values)
    template = template if lang == "en" else chinese().get(template, template)
    if not values:
        return template
    said = {name: say(lang, value) if isinstance(value, Text) else value for name, value in values.items()}
    html = any(isinstance(value, Markup) for value in said.values())
    return (Markup.escape(template) if html else template).format(**said)


def sayer(lang: Lang) -> Callable[..., str]:
    """:func:`say` in one language."""
    return partial(say, lang)


def code(text: str) -> Markup:
    """A name in HTML, for a text that holds it."""
    return Markup("<code>{}</code>").format(text)


@lru_cache(maxsize=1)
def chinese() -> dict[str, str]:
    """The catalogue: English to Chinese. Its sections are for its readers alone."""
    sections = yaml.safe_load((Path(__file__).parent / "chinese.yaml").read_text(encoding="utf-8"))
    return {english: said for section in sections.values() for english, said in section.items()}


def add_lang(parser: argparse.ArgumentParser, what: str = "the page") -> None:
    """The option ``--lang``, the language of something."""
    parser.add_argument("--lang", choices=LANGS, default="en", help=f"language of {what} (%(default)s)")
