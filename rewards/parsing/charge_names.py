"""Names of charges: those in force with the parts of selective ones, CAIL2018's labels, and former names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import regex

from rewards.parsing.text import TIME_LIMIT_S, plain

_DATA = Path(__file__).parent.parent / "data"
_GROUP = regex.compile(r"\{([^{}]+)\}")
_JOINT = r"\s?(?:[、,;和及与或]|以及)?\s?"
CATCH_ALL = frozenset({"经济犯"})
"""A label of CAIL2018 that is not a charge by itself; beside another charge 经济犯罪 names none."""


@dataclass(frozen=True)
class _Charge:
    name: str
    article: str
    shapes: tuple[str, ...]
    """The name and other names, with parts in braces."""


@lru_cache(maxsize=1)
def _in_force() -> tuple[_Charge, ...]:
    found = []
    for article, shape, *others in (line.split("\t") for line in _lines("charges.tsv")):
        shapes = (shape, *"|".join(others).split("|")) if others else (shape,)
        found.append(_Charge(shape.translate(_NO_BRACES), article, shapes))
    return tuple(found)


_NO_BRACES = str.maketrans("", "", "{}")


def _lines(name: str) -> list[str]:
    lines = (_DATA / name).read_text(encoding="utf-8").splitlines()
    return [plain(line) for line in lines if line and not line.startswith("#")]


@lru_cache(maxsize=1)
def cail2018_charges() -> tuple[str, ...]:
    """CAIL2018's 202 labels in the order of accu.txt."""
    return tuple(_lines("charges_cail2018.txt"))


@lru_cache(maxsize=1)
def _labels() -> frozenset[str]:
    return frozenset(cail2018_charges())


@lru_cache(maxsize=1)
def known_charges() -> tuple[str, ...]:
    """Names of charges without 罪: CAIL2018's 202 labels, then those in force that are not among them."""
    return tuple(dict.fromkeys((*cail2018_charges(), *(charge.name for charge in _in_force()))))


@lru_cache(maxsize=1)
def charges_in_force() -> dict[str, str]:
    """Name without 罪 → article of the Criminal Law, such as 133之一."""
    return {charge.name: charge.article for charge in _in_force()}


@lru_cache(maxsize=1_000)
def present_name(name: str) -> str:
    """The charge in force that a former name (偷税) or a part of a selective charge (贩卖毒品) stands for; the name
    itself where there is none."""
    if name in charges_in_force():
        return name
    found = longest(name, 0, labels=False)
    return found[0] if found and found[1] == len(name) else name


@lru_cache(maxsize=1)
def _beginnings() -> dict[str, list[tuple[str, str]]]:
    """Two or three characters that names begin with → (charge, shape) of each; two where a joint may follow them."""
    found: dict[str, list[tuple[str, str]]] = {}
    shapes = [(charge.name, shape) for charge in _in_force() for shape in charge.shapes]
    shapes += [(label, label) for label in cail2018_charges()]
    for name, shape in shapes:
        before, opened, rest = shape.partition("{")
        parts = rest.partition("}")[0].split("、") if opened else [""]
        for start in {(before + part)[:3].partition("、")[0] for part in parts}:
            found.setdefault(start, []).append((name, shape))
    return found


@lru_cache(maxsize=1_000)
def _patterns(start: str) -> tuple[tuple[str, ...], regex.Pattern[str]]:
    """(charges, one pattern with a group for each) of the shapes that three characters, or the first two, begin."""
    ours = _beginnings().get(start[:2], []) + (_beginnings().get(start, []) if len(start) > 2 else [])
    written = "|".join(f"({_pattern(shape)})" for _, shape in ours)
    return tuple(name for name, _ in ours), regex.compile(written, regex.POSIX)  # the longest of them


def begins(text: str, start: int) -> bool:
    """Whether a name may begin at a place."""
    return text[start : start + 3] in _beginnings() or text[start : start + 2] in _beginnings()


@lru_cache(maxsize=1)
def first_characters() -> regex.Pattern[str]:
    """A character that a name may begin with."""
    return regex.compile(f"[{''.join(sorted({start[0] for start in _beginnings()}))}]")


def _pattern(shape: str) -> str:
    pieces = []
    for place, piece in enumerate(_GROUP.split(shape)):
        if place % 2:
            parts = sorted(piece.split("、"), key=len, reverse=True)
            any_part = "|".join(_literal(part) for part in parts)
            pieces.append(rf"(?:{any_part})(?:{_JOINT}(?:{any_part})){{0,{len(parts) - 1}}}")
        else:
            pieces.append(_literal(piece))
    return "".join(pieces)


def _literal(piece: str) -> str:
    """A piece of a name, in which 、 may be another joint, brackets may lack, and 帐 may be 账."""
    written = regex.escape(piece, special_only=True).replace("、", _JOINT).replace("帐", "[帐账]")
    return regex.sub(r"\\\((.)\\\)", r"\\(?\1\\)?", written)


def longest(text: str, start: int, labels: bool = True) -> tuple[str, int] | None:
    """(charge, end) of the longest name at a place of a plain text; None if there is none. A label of CAIL2018 that is
    written out stands for itself, any other writing for the charge in force."""
    if not begins(text, start):
        return None
    names, pattern = _patterns(text[start : start + (3 if text[start : start + 3] in _beginnings() else 2)])
    match = pattern.match(text, start, timeout=TIME_LIMIT_S)
    if match is None:
        return None
    found = next(name for place, name in enumerate(names, 1) if match[place] is not None)
    return (match[0] if labels and match[0] in _labels() else found), match.end()
