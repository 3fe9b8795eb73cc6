"""Corrections as spans: the steps of an alignment merged as in ChERRANT (Zhang et al. 2022, arXiv 2204.10994,
granularity ``char``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rapidfuzz.distance import Levenshtein

from rl.evaluation.metrics.alignment import EditStep, Grid
from rl.evaluation.metrics.text_overlap import MARKS

Edit = tuple[int, int, str]
"""Characters ``start`` to ``end`` of the source become a text, which is empty where they are left out."""
Spans = tuple[EditStep, ...]
_MARKS = "".join(mark for mark in MARKS if mark not in "。’〰〾〿﹏")


def ways(grid: Grid, source: str, target: str) -> set[Spans]:
    """The different lists of edits of the cheapest alignments: edits in order, without what is kept."""
    last = grid.steps()
    needed = Counter((step.start, step.to) for some in last.values() for step in some)
    found: dict[tuple[int, int], set[Spans]] = {}
    for place, some in last.items():
        found[place] = {_with(one, step) for step in some for one in found[step.start, step.to]} if some else {()}
        for step in some:
            needed[step.start, step.to] -= 1
            if not needed[step.start, step.to]:
                del found[step.start, step.to]
    return {_edits(spans, source, target) for spans in found[len(source), len(target)]}


def _edits(joined: Spans, source: str, target: str) -> Spans:
    """Spans in order, without what is kept. A moved text, or two texts that changed places, are one span.

    ChERRANT then removes what both sides of a replacement have in common at their ends; single characters have nothing.
    """
    found, place = [], 0
    while place < len(joined):
        three = joined[place : place + 3]
        if _changes_place(three, source, target):
            found.append(_span(three, "T"))
            place += 3
        else:
            found.append(joined[place])
            place += 1
    return tuple(span for span in found if span.kind != "M")


def edit(step: EditStep, target: str) -> Edit:
    """A step in the form that is compared."""
    return step.start, step.end, target[step.to : step.until]


def _span(steps: Sequence[EditStep], kind: str) -> EditStep:
    return EditStep(kind, steps[0].start, steps[-1].end, steps[0].to, steps[-1].until)


def _with(spans: Spans, step: EditStep) -> Spans:
    """Spans with one more step. Neighbours become one span, except for changes of order, and for single deletions next
    to single insertions."""
    kind = spans[-1].kind if spans else ""
    if not spans or "T" in (step.kind, kind) or (step.kind == "M") != (kind == "M"):
        return (*spans, step)
    if kind == "M":
        return (*spans[:-1], _span((spans[-1], step), kind))
    first = next((n for n in range(len(spans) - 1, -1, -1) if spans[n].kind in "MT"), -1) + 1
    group = (*spans[first:], step)
    if "S" in (step.kind, kind):
        return (*spans[:first], _span(group, "S"))
    if len(group) == 2 and step.kind == kind:
        return (*spans[:first], _span(group, kind))
    return (*spans[:first], *(single for span in group for single in _singles(span)))


def _singles(span: EditStep) -> Iterator[EditStep]:
    """A deletion or insertion, character by character."""
    kind, start, end, to, until = span
    yield from (EditStep(kind, n, n + 1, to, to) for n in range(start, end))
    yield from (EditStep(kind, start, start, n, n + 1) for n in range(to, until))


def _changes_place(three: Sequence[EditStep], source: str, target: str) -> bool:
    """Whether three edits are a text that moved, or two texts that changed places. In a text of two or more characters,
    one may differ."""
    kinds = "".join(step.kind for step in three)
    before, after = ([source[a:b], target[c:d]] for _, a, b, c, d in (three[0], three[-1]))
    if kinds == "SMS":
        slack = int(min(map(len, before + after)) > 1)
        return max(_distance(before[0], after[1]), _distance(before[1], after[0])) <= slack
    if kinds not in ("DMI", "DTI", "IMD", "ITD"):
        return False
    short, long = sorted((before[0] or before[1], after[0] or after[1]), key=len)
    if short in _MARKS or long in _MARKS or len(long) - len(short) > 1:
        return False
    if len(short) == 1:
        return short == long
    return _distance(short, long) <= 1 or (len(short) == len(long) and short in long + long)


def _distance(one: str, other: str) -> int:
    return int(Levenshtein.distance(one, other))
