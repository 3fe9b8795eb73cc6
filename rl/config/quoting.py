"""Text on the command line, in the quotes that Hydra's grammar needs around everything except plain ASCII words.

Where a key of the configuration holds text, what follows ``=`` is that text: Chinese, spaces, ``=``, brackets, digits.
``null`` is still None where a key may be empty, ``${…}`` is still an interpolation, and typed quotes are still quotes.
In a multirun, commas at the top level separate the choices of a sweep; elsewhere they are part of the text.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import regex

LONGEST_NAME = 200
"""Bytes of a folder's name, which file systems limit to 255."""

_SWEEP = regex.compile(r"\s*(choice|range|interval|glob|shuffle|sort|tag)\s*\(.*\)\s*", regex.DOTALL)
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_INTERPOLATION = r"\$\{(?:[^{}]|\{[^{}]*\})*\}"
_NESTED = r"(?P<nested>\((?:[^()\[\]{}]|(?&nested))*\)|\[(?:[^()\[\]{}]|(?&nested))*\]|\{(?:[^()\[\]{}]|(?&nested))*\})"
_CHOICE = regex.compile(
    rf"(?:[+~]*[\w.@/]+=)?\s*(?:{_QUOTED})\s*(?=,|\Z)|(?:{_INTERPOLATION}|{_NESTED}|[^,])*", regex.DOTALL
)
_UNSAFE = regex.compile(r"[/\\\p{C}]")


def is_multirun(argv: Sequence[str]) -> bool:
    """Whether a command line asks for a multirun."""
    mode = [
        argument.lstrip("+").partition("=")[2] for argument in argv if argument.lstrip("+").startswith("hydra.mode=")
    ]
    return any(argument in ("-m", "--multirun") for argument in argv) or "MULTIRUN" in mode


def text_value(value: str, nullable: bool, sweep: bool) -> str:
    """``value`` of a text key as Hydra takes it; each choice of a sweep by itself."""
    if not sweep:
        return quoted(value, nullable)
    if _SWEEP.fullmatch(value) and _parsed(value) is _SWEPT:
        return value
    parts = [quoted(choice, nullable) for choice in choices(value)]
    return parts[0] if len(parts) == 1 else ",".join(part or "''" for part in parts)


def choices(value: str) -> Iterator[str]:
    """The parts of a value between its commas; those within quotes, brackets and interpolations separate nothing."""
    start = 0
    while True:
        match = _CHOICE.match(value, start)
        assert match is not None  # the pattern also matches the empty text
        yield match[0]
        if match.end() >= len(value):
            return
        start = match.end() + 1


def quoted(value: str, nullable: bool = False) -> str:
    """``value`` in a form that Hydra reads as exactly this text."""
    from hydra.core.override_parser.types import Quote, QuotedString

    found = _parsed(value)
    plain = isinstance(found, str) and found == value and "\\" not in value  # one at the end would escape a comma
    if found is _QUOTES or (found is None and nullable) or plain:
        return value
    return QuotedString(value, Quote.single).with_quotes()


def unquoted(value: str) -> str:
    """What Hydra reads from a value in quotes; another value as it is."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if _parsed(value) is not _QUOTES:
        return value
    return str(OverridesParser.create().parse_override(f"key={value}").value())


def typed(word: str) -> str:
    """A word of a job of a multirun as one would type it: Hydra has escaped there what is special in plain text, such
    as the colon of ``host:port``."""
    from hydra.core.override_parser.types import Quote, QuotedString

    key, mark, value = word.partition("=")
    found = _parsed(value)
    if not isinstance(found, str) or found == value:
        return word
    return f"{key}{mark}{QuotedString(found, Quote.single).with_quotes()}"


_QUOTES, _SWEPT, _NO_VALUE = object(), object(), object()


def _parsed(value: str) -> Any:
    """What Hydra makes of a value: text, a number, None …; or a mark that it is in quotes, a sweep, or not readable."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import QuotedString
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"key={value}")
    except (HydraException, RecursionError):
        return _NO_VALUE
    if isinstance(override._value, QuotedString):
        return _QUOTES
    return _SWEPT if override.is_sweep_override() else override.value()


def folder_name(overrides: str) -> str:
    """A folder's name from Hydra's list of a job's overrides: one level, short, different for different values."""
    parts = []
    for override in choices(overrides):
        key, mark, value = override.lstrip("+~").partition("=")
        parts.append(f"{key}{mark}{unquoted(value)}")
    name = ",".join(parts)
    plain = _UNSAFE.sub("_", name)
    short = plain.encode()[:LONGEST_NAME].decode(errors="ignore")
    return name if short == name else f"{short}-{zlib.crc32(name.encode()):08x}"
