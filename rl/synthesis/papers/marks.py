"""How exam papers mark questions, options, answers and explanations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FARTHEST = 20
"""Most numbers that a gap between two questions may have; what is farther is no number of a question."""
TRIED = 50
"""Marks of an option A that are tried, from the end."""

NUMBER = re.compile(r"\s*[(（]?\s*(?:第\s*)?(\d{1,3})\s*(?:题\s*[.．、:：]?|[.．](?!\d)|[、)）])\s*")
"""The number at the beginning of a question."""
SECTION = re.compile(
    r"\s*(?:第?\s*[一二三四五六七八九十]{1,3}\s*(?:部分|大题|[、.．])|【).{0,60}?"
    r"(?:选择|不定项|判断|简答|论述|案例|分析|填空|名词解释|问答|主观).{0,4}"
)
"""The heading of a section (match at the beginning of a line)."""
_LETTERS = r"[A-H](?:[\s、,，]*[A-H])*"
ANSWER = re.compile(
    rf"[【\[（(]?\s*(?:参考|正确|标准|本题)?\s*答案\s*[】\])）]?\s*(?:是|为)?\s*[:：]?\s*({_LETTERS})(?![A-Za-z])"
)
EXPLANATION = re.compile(
    r"[【\[]\s*(?:答案|试题|本题)?(?:解析|详解|解答|分析|考点|说明|点评|命题思路)\s*[】\]]|^\s*(?:答案|试题|本题)?(?:解析|详解|分析)\s*[:：]",
    re.MULTILINE,
)
IN_STEM = re.compile(rf"[(（]\s*({_LETTERS})\s*[)）](?=[\s。.？?]*$)")
"""The answer in the brackets at the end of a stem."""
BRACKETS = re.compile(r"[(（]\s*[)）]")
"""Where the answer is to be written."""
SHARED = re.compile(r"(?:回答|完成|解答|作答|回应)[^。\n]{0,10}?(\d{1,3})\s*[-—–~～至到]\s*(\d{1,3})\s*(?:小?题|问)")
"""Announces material that several questions share."""
CASE = re.compile(r"\s*[(（][一二三四五六七八九十]{1,3}[)）]")
"""Begins the material of a case."""
_OPTION = re.compile(r"(?<![A-Za-z0-9])[(（]?([A-H])\s*[.．、:：)）]\s*")
_APART = re.compile(r"(?:^|(?<=\s))[(（]?([A-H])\s*[.．、:：)）]\s*", re.MULTILINE)


@dataclass(frozen=True)
class Start:
    """A line that may begin a question."""

    line: int
    number: int
    options: bool
    """Whether the options A and B follow before the next such line."""


def starts(lines: Sequence[str]) -> list[Start]:
    """The lines that begin with a number as a question does."""
    numbered = [(place, int(found[1])) for place, line in enumerate(lines) if (found := NUMBER.match(line))]
    ends = [place for place, _ in numbered[1:]] + [len(lines)]
    return [
        Start(place, number, {"A", "B"} <= {one[1] for one in _OPTION.finditer("\n".join(lines[place:end]))})
        for (place, number), end in zip(numbered, ends, strict=False)  # without numbers there is one end
    ]


def options_of(text: str) -> list[tuple[str, int, int]]:
    """(letter, start of its mark, start of its text) of a question's options, in the order of the letters.

    Marks that stand apart are preferred; of a repeated A the last counts that a B follows (a stem may say A、B两地).
    """
    apart = _sequence([(one[1], one.start(), one.end()) for one in _APART.finditer(text)])
    if len(apart) >= 2:
        any_place = _sequence([(one[1], one.start(), one.end()) for one in _OPTION.finditer(text)])
        return any_place if len(any_place) > len(apart) and any_place[: len(apart)] == apart else apart
    return _sequence([(one[1], one.start(), one.end()) for one in _OPTION.finditer(text)])


def _sequence(marks: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    best: list[tuple[str, int, int]] = []
    for first in [place for place, one in enumerate(marks) if one[0] == "A"][-TRIED:]:
        row = list(_rising(marks[first:]))
        columns = sorted(marks[first:])
        letters = "".join(one[0] for one in columns)
        if len(letters) > len(row) and letters == "ABCDEFGH"[: len(letters)]:
            row = columns  # options in two columns: A C, then B D
        if len(row) >= max(2, len(best)):
            best = row
    return best


def _rising(marks: Sequence[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    wanted = iter("ABCDEFGH")
    letter = next(wanted)
    for one in marks:
        if one[0] == letter:
            yield one
            letter = next(wanted, "")


def letters(written: str) -> str:
    """The letters of an answer, sorted, each once."""
    return "".join(sorted({one for one in written if "A" <= one <= "H"}))
