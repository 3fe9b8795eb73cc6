"""Text of a judgment, read from a file and folded so that every character keeps its place."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rewards.parsing.text import folded
from rl.errors import UserError

LONGEST = 500_000
"""Characters of a document."""
UNREADABLE = "□"
"""Replaces a character that has no folded form of one character."""
_TRIES = 3
BLOCK = 6_000
"""Characters that the parsers get at once."""

Parsed = TypeVar("Parsed")


class _Fold(dict[int, str]):
    """A character's folded form: NFKC where that is one character."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _fold(chr(code))
        return found


def _fold(character: str) -> str:
    plain = "〇" if character == "○" else unicodedata.normalize("NFKC", character)
    if plain in "\n\t":
        return plain
    kind = unicodedata.category(character)
    if kind in ("Cc", "Cf", "Zl", "Zp"):
        return " "
    joins = kind[0] in "MC" or "\u1100" <= character <= "\u11ff"  # what composes with its neighbours
    return UNREADABLE if joins or len(plain) != 1 or unicodedata.category(plain)[0] in "MC" else plain


_FOLD = _Fold()


def aligned(text: str) -> str:
    """The text folded as in ``rewards.parsing``, but with the same length, so that a place in it is a place in the
    text."""
    return text.translate(_FOLD)


def steadily(parse: Callable[[str], Parsed], piece: str) -> Parsed | None:
    """The result of a parser of ``rewards.parsing`` on a piece of aligned text. The parser has a time limit, which it
    can miss on a busy machine, so it is tried again. None if it never ends, or would see other places than we do."""
    if folded(piece) != piece:
        return None
    for _ in range(_TRIES):
        try:
            return parse(piece)
        except TimeoutError:
            continue
    return None


def read_text(path: Path) -> str:
    """A text file in UTF-8 or GB18030, or with lines in either, line ends as \\n.

    Raises:
        UserError: if it can't be read, is neither, is empty or is longer than ``LONGEST`` characters.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror})") from None
    try:
        text = decoded(data)
    except UnicodeDecodeError:
        raise UserError(f"{path} is neither UTF-8 nor GB18030 text; save it in one of them") from None
    if "\0" in text:
        raise UserError(f"{path} holds zero bytes and is not text; save it as UTF-8")
    if not text.strip():
        raise UserError(f"{path} is empty")
    if len(text) > LONGEST:
        raise UserError(f"{path} has {len(text)} characters, more than {LONGEST}; split it into its judgments")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decoded(data: bytes) -> str:
    """Bytes in UTF-8, or line by line in UTF-8 or GB18030: a file that was put together from both is still text.

    Raises:
        UnicodeDecodeError: if a line is neither.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "".join(_decoded_line(line) for line in data.splitlines(keepends=True)).removeprefix("\ufeff")


def _decoded_line(line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return line.decode("gb18030")
    # Two characters of GB18030 can pass for one of another alphabet in UTF-8.
    return text if text.isascii() or any(character >= "\u2e80" for character in text) else line.decode("gb18030")


def blocks(text: str, start: int, end: int) -> list[tuple[int, str]]:
    """Pieces of at most ``BLOCK`` characters, cut at line ends where there are any."""
    found, at = [], start
    while at < end:
        stop = min(end, at + BLOCK)
        line = text.rfind("\n", at + 1, stop) if stop < end else -1
        stop = line if line > at else stop
        found.append((at, text[at:stop]))
        at = stop
    return found
