"""JSON without what would fail later or go unseen: NaN, a key given twice, half of a surrogate pair."""

import json
import re
from typing import Any, NoReturn

BOM = "\ufeff"
_HALF = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
"""Escapes that look like half of a pair; a backslash before one may make it plain text."""


def parse(text: str, *, halves: bool = False) -> Any:
    """The value of a JSON text. A byte order mark before it is skipped. ``halves`` allows halves of surrogate pairs.

    Raises:
        ValueError: in a sentence, if it is not JSON (RFC 8259), names a key twice in one object, or holds half of a
            surrogate pair.
    """
    try:
        found = _DECODER.decode(text.removeprefix(BOM))
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise ValueError(f"not valid JSON: {error.msg} at {line}column {error.colno}") from None
    except RecursionError:
        raise ValueError("not valid JSON: nested too deeply") from None
    if halves:
        return found
    half, likely = lone_surrogate(text), _HALF.search(text) if "\\u" in text else None
    if half is None and likely:
        half = lone_surrogate(json.dumps(found, ensure_ascii=False))
    if half is not None:
        number = text.count("\n", 0, likely.start()) + 1 if likely else 1
        line = f" in line {number}" if number > 1 else ""
        raise ValueError(
            f"{half}{line} is half of a surrogate pair, not a character; write the whole pair or take it out"
        )
    return found


def lone_surrogate(text: str) -> str | None:
    r"""The first half of a surrogate pair that stands alone, as ``\ud83d``; such text can't be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(text[error.start]):04x}"
    return None


def _constant(name: str) -> NoReturn:
    raise ValueError(f"not valid JSON: {name} is not a JSON value; write null or text")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice in one object; keep one of them")
    return found


_DECODER = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=_object)
