"""From the characters of a page to its lines in reading order, and from lines to a text.

A page has one column or two. Two are read if an empty strip in its middle parts its lines; what crosses the strip, such
as a title, parts the page into bands, and in each band the left column comes first.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

MIDDLE = (0.35, 0.65)
"""Where the strip between two columns may be, as shares of the page's width."""
CROSSING = 0.25
"""Largest share of pieces that cross the strip."""
SIDE = 0.2
"""Smallest share of pieces on each side of the strip."""
PART = 1.5
"""Gap, in sizes of a character, from which on two pieces of one line may stand in two columns."""
EDGE = 2
"""Lines at the top and at the bottom of a page that may be headers, footers or page numbers."""
REPEATED = 0.4
"""Smallest share of the pages on which a header or footer stands."""

_OPTION = re.compile(r"[(（]?[B-H]\s*[.．、:：)）]")
_BEGINS = re.compile(
    r"[(（【\[]?(?:[A-H]|\d{1,3}|[一二三四五六七八九十]{1,3})[)）\]]?\s*[.．、:：]|[(（【\[]|第[^，。]{1,8}[条章节编部分题]"
)
"""How a line begins that is no continuation of the one before."""
_NUMBER = re.compile(
    r"[-—–─~·|\s]*(?P<first>第)?\s*(?P<number>\d{1,4})\s*(?P<page>页)?"
    r"(?:\s*[,，、/|(（]?\s*(?:共|of)?\s*\d{1,4}\s*页?\s*[)）]?)?[-—–─~·|\s]*"
)
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Piece:
    """A character, a run of characters on one line, or a line. Lengths are points, y grows upwards."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    column: int = 0
    """0 for a page of one column and for what crosses two; 1 and 2 for the left and the right one."""

    @property
    def size(self) -> float:
        return max(self.top - self.bottom, 1.0)


def lines_of(pages: Iterable[tuple[Iterable[Piece], float]]) -> list[list[Piece]]:
    """The lines of each page in reading order.

    Args:
        pages: of each its characters in the order of the file, white space too, and its width (points).

    A page that is not surely of two columns has them where the page before has, if little crosses the strip there. So
    the last page of a paper is read as the others, however short its second column is.
    """
    runs = [(list(_runs(characters)), width) for characters, width in pages]
    found, before = [], None
    for pieces, width in runs:
        strip = _strip(pieces, width)
        if strip is None and before is not None and _crossing(pieces, before) <= CROSSING * len(pieces):
            strip = before
        found.append(_joined(pieces) if strip is None else _in_columns(pieces, strip))
        before = strip
    return found


def _crossing(pieces: Sequence[Piece], strip: float) -> int:
    return sum(one.left < strip < one.right for one in pieces)


def _in_columns(pieces: Sequence[Piece], strip: float) -> list[Piece]:
    columns = [
        replace(one, column=0 if one.left < strip < one.right else 1 if one.right <= strip else 2) for one in pieces
    ]
    crossing = _joined([one for one in columns if one.column == 0])
    found: list[Piece] = []
    above = math.inf
    for border in (*crossing, None):
        below = border.bottom if border else -math.inf
        band = [one for one in columns if one.column and below < _middle(one) <= above]
        found += [line for side in (1, 2) for line in _joined([one for one in band if one.column == side])]
        if border:
            found.append(border)
        above = below
    return found


def _middle(one: Piece) -> float:
    return (one.bottom + one.top) / 2


def _runs(characters: Iterable[Piece]) -> Iterator[Piece]:
    """Characters that follow each other on one line, without large gaps, as one piece."""
    run: Piece | None = None
    space = False
    for one in characters:
        if not one.text.strip():
            space = True
            continue
        if run is not None and _level(run, one) and -0.5 * run.size <= one.left - run.right <= PART * run.size:
            gap = " " if space or one.left - run.right > 0.5 * run.size else ""
            run = replace(
                run, text=run.text + gap + one.text, right=max(run.right, one.right),
                bottom=min(run.bottom, one.bottom), top=max(run.top, one.top),
            )  # fmt: skip
        else:
            if run is not None:
                yield run
            run = one
        space = False
    if run is not None:
        yield run


def _level(one: Piece, other: Piece) -> bool:
    """Whether two pieces stand on one line: they share half of the lower one's height."""
    shared = min(one.top, other.top) - max(one.bottom, other.bottom)
    return shared >= 0.5 * min(one.size, other.size)


def _strip(pieces: Sequence[Piece], width: float) -> float | None:
    """The middle (x) of the strip between two columns; None for a page of one column.

    Options in two rows (A and B, C and D) are no columns: all pieces on the right begin with the letter of an option.
    """
    borders = sorted({x for one in pieces for x in (one.left, one.right) if MIDDLE[0] <= x / width <= MIDDLE[1]})
    middles = [(a + b) / 2 for a, b in pairwise(borders) if b - a >= 1] or [width / 2]
    best, found = CROSSING * len(pieces) + 1, None
    for x in sorted(middles, key=lambda x: abs(x - width / 2)):
        crossing = _crossing(pieces, x)
        if crossing < best:
            best, found = crossing, x
    if found is None or len(pieces) < 10 or best > CROSSING * len(pieces):
        return None
    left = [one for one in pieces if one.right <= found]
    right = [one for one in pieces if one.left >= found]
    options = sum(_OPTION.match(one.text) is not None for one in right)
    if min(len(left), len(right)) < SIDE * len(pieces) or options >= 0.9 * len(right):
        return None
    return found


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces as lines, the highest first; pieces of one line from the left to the right."""
    rows: list[list[Piece]] = []
    for one in sorted(pieces, key=lambda one: -_middle(one)):
        if rows and _level(rows[-1][0], one):
            rows[-1].append(one)
        else:
            rows.append([one])
    return [_line(sorted(row, key=lambda one: one.left)) for row in rows]


def _line(row: Sequence[Piece]) -> Piece:
    right, bottom, top = max(one.right for one in row), min(one.bottom for one in row), max(one.top for one in row)
    return Piece(" ".join(one.text for one in row), row[0].left, right, bottom, top, row[0].column)


def text_of(pages: Sequence[Sequence[Piece]]) -> str:
    """The text of a document without headers, footers and page numbers; a line that goes on in the next is joined."""
    found: list[str] = []
    before: tuple[Piece, float] | None = None
    """The line before, and the right margin of its column."""
    for lines in without_edges(pages):
        lefts: dict[int, float] = {}
        rights: dict[int, float] = {}
        for line in lines:
            lefts[line.column] = min(line.left, lefts.get(line.column, math.inf))
            rights[line.column] = max(line.right, rights.get(line.column, 0.0))
        for line in lines:
            left, right = lefts[line.column], rights[line.column]
            full = before is not None and before[0].right >= before[1] - 1.5 * line.size
            if full and line.left <= left + 0.8 * line.size and not _BEGINS.match(line.text):
                found[-1] += (" " if _latin(found[-1][-1]) and _latin(line.text[0]) else "") + line.text
            else:
                found.append(line.text)
            before = line, right
    return "\n".join(found)


def _latin(character: str) -> bool:
    return character.isascii() and character.isalnum()


def without_edges(pages: Sequence[Sequence[Piece]]) -> list[list[Piece]]:
    """The lines of each page without page numbers, and without headers and footers.

    A header or footer has the same text, digits aside, at the same height on two pages at least and on a share of
    ``REPEATED`` of all. A page number rises with the pages; on a single page it is 1, or says that it is one (第1页).
    """
    edges = [_edges(lines) for lines in pages]
    repeated = Counter(key for lines in edges for key in {_key(one) for one in lines})
    most = max(2, math.ceil(REPEATED * len(pages)))
    starts = Counter(start for place, lines in enumerate(edges) for start in {_start(one, place) for one in lines})
    first = max((start for start in starts if start is not None), key=lambda start: starts[start], default=None)
    sure = len(pages) == 1 or (first is not None and starts[first] >= 2)

    def dropped(one: Piece, place: int) -> bool:
        if len(pages) > 1 and repeated[_key(one)] >= most and _DIGITS.sub("", one.text).strip():
            return True
        match = _NUMBER.fullmatch(one.text)
        if match is None:
            return False
        if match["first"] and match["page"]:
            return True
        return sure and _start(one, place) == first and (len(pages) > 1 or first == 1)

    return [
        [one for one in lines if one not in edge or not dropped(one, place)]
        for place, (lines, edge) in enumerate(zip(pages, map(set, edges), strict=True))
    ]


def _edges(lines: Sequence[Piece]) -> list[Piece]:
    """The highest and the lowest lines of a page."""
    rows = sorted({round(_middle(one)) for one in lines})
    edge = {*rows[:EDGE], *rows[-EDGE:]}
    return [one for one in lines if round(_middle(one)) in edge]


def _key(one: Piece) -> tuple[str, int]:
    return _DIGITS.sub("#", "".join(one.text.split())), round(_middle(one) / 4)


def _start(one: Piece, place: int) -> int | None:
    """The number of the first page if this is the number of the page at a place; None if it is no number."""
    match = _NUMBER.fullmatch(one.text)
    return int(match["number"]) - place if match else None
