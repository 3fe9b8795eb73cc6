"""The answer key at the end of a paper: compact lines, ranges, tables, or an entry with an explanation for each
question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rl.synthesis.papers.marks import ANSWER, EXPLANATION, FARTHEST, NUMBER, SECTION, letters

TRIED = 5
"""Headings that are tried."""
_HEADING = re.compile(
    r".{0,30}?(?:参考答案|标准答案|正确答案|答案)(?:部分|速查|及|与|和|详解|解析|提示|表|\s)*[】\])）]?\s*[:：]?"
)
_OPTION_A = re.compile(r"\s*[(（]?A\s*[.．、]\s*\S")
_RANGE = re.compile(
    r"(\d{1,3})\s*[-—–~～至]\s*(\d{1,3})\s*题?\s*[:：.．、)）]?\s*([A-H](?:[A-H]|[\s、,，;；/|]+(?=[A-H]))*)(?![A-Za-z])"
)
_ONE = re.compile(r"(\d{1,3})\s*题?\s*[.．、:：)）]?\s*([A-H](?:[、,，]?[A-H])*)(?![A-Za-z])")
_BETWEEN = re.compile(r"[\s、,，;；.．。|]*")
_ROW = re.compile(r"\s*(题号|题目|序号|答案)[\s:：|]*(.*)")


@dataclass(frozen=True)
class Entry:
    """What a key says of one question."""

    answer: str
    """Its letters; empty if ``problem`` says why there are none."""
    explanation: str = ""
    problem: str = ""


_BEFORE = " \n:：.．。;；,，"
Run = dict[int, Entry]
"""Entries by number; a key whose numbers begin again has several."""


def split_key(lines: Sequence[str]) -> tuple[list[str], list[Run]]:
    """(lines of the questions, the key): the key begins with the first heading after which no option A begins a line,
    and that entries follow."""
    last = max((place for place, line in enumerate(lines) if _OPTION_A.match(line)), default=-1)
    headings = (n for n in range(last + 1, len(lines)) if _HEADING.fullmatch(lines[n].strip()))
    for place in islice(headings, TRIED):
        if runs := read_key(lines[place + 1 :]):
            return list(lines[:place]), runs
    return list(lines), []


def read_key(lines: Sequence[str]) -> list[Run]:
    """The entries of a key, run by run."""
    runs: list[Run] = []
    last = 0
    fresh = False
    """Whether a heading stands between the last entry and the next."""
    place = 0
    while place < len(lines):
        line = lines[place]
        compact = list(_table(lines[place : place + 2]))
        if compact:
            place += 2
        else:
            compact = list(_compact(line))
            place += bool(compact)
        if not compact:
            block, numbered = _block(lines, place, last)
            if numbered is None:
                fresh = fresh or SECTION.match(line) is not None
                place += 1
                continue
            compact, place = [(numbered, _entry(block))], place + len(block)
        for number, entry in compact:
            if not runs or number <= last or (fresh and number == 1):
                runs.append({})
            runs[-1][number], last, fresh = entry, number, False
    return runs


def _table(lines: Sequence[str]) -> Iterator[tuple[int, Entry]]:
    """The entries of two rows, 题号 1 2 3 and 答案 A BC D."""
    rows = [_ROW.fullmatch(line) for line in lines]
    if len(rows) == 2 and rows[0] and rows[1] and rows[0][1] != "答案" and rows[1][1] == "答案":
        numbers, answers = re.findall(r"\d{1,3}", rows[0][2]), re.findall(r"[A-H]+", rows[1][2])
        problem = (
            ""
            if len(numbers) == len(answers)
            else f"a row of the key has {len(answers)} answers to {len(numbers)} questions"
        )
        for place, number in enumerate(numbers):
            yield int(number), Entry("" if problem else letters(answers[place]), problem=problem)


def _compact(line: str) -> Iterator[tuple[int, Entry]]:
    """The entries of a line that holds nothing else: 1.A 2.BC, or 1-5 ABCDA."""
    line = re.sub(r"^\s*(?:[^\d]{0,16}(?:选择题|答案|不定项))\s*[:：]?", "", line)
    found: list[tuple[int, Entry]] = []
    at = _BETWEEN.match(line).end()  # type: ignore[union-attr]  # it matches nothing, too
    while at < len(line):
        if match := _RANGE.match(line, at):
            found += _range(int(match[1]), int(match[2]), match[3])
        elif match := _ONE.match(line, at):
            found.append((int(match[1]), Entry(letters(match[2]))))
        else:
            return
        at = _BETWEEN.match(line, match.end()).end()  # type: ignore[union-attr]
    yield from found


def _range(first: int, last: int, written: str) -> list[tuple[int, Entry]]:
    count, groups = last - first + 1, re.findall(r"[A-H]+", written)
    single = "".join(groups)
    answers = groups if len(groups) == count else list(single) if len(single) == count else []
    if not answers:
        problem = f"the key has {len(single)} letters for questions {first} to {last}"
        return [(n, Entry("", problem=problem)) for n in range(first, min(last, first + FARTHEST) + 1)]
    return [(first + place, Entry(letters(one))) for place, one in enumerate(answers)]


def _block(lines: Sequence[str], place: int, last: int) -> tuple[list[str], int | None]:
    """(lines of the entry that begins at a place, its number); the number is None if none begins there."""
    number = _begins(lines[place], last)
    if number is None:
        return [], None
    end = place + 1
    while end < len(lines) and not SECTION.match(lines[end]) and _begins(lines[end], number) is None:
        end += 1
    return list(lines[place:end]), number


def _begins(line: str, last: int) -> int | None:
    """The number of an entry that a line may begin: it rises, or begins again and names its answer at once."""
    match = NUMBER.match(line)
    if match is None:
        return None
    number, rest = int(match[1]), line[match.end() :]
    answers = re.match(r"[A-H]+(?![A-Za-z])", rest) or ANSWER.match(rest)
    rises = last < number <= last + FARTHEST and (number == last + 1 or answers)
    return number if rises or (number == 1 and answers) else None


def _entry(block: Sequence[str]) -> Entry:
    text = "\n".join(block)
    text = text[NUMBER.match(text).end() :]  # type: ignore[union-attr]  # a block begins with its number
    found = re.match(r"([A-H](?:[、,，]?[A-H])*)(?![A-Za-z])", text) or ANSWER.search(text)
    if found is None:
        return Entry("", problem="the key names no option")
    return Entry(letters(found[1]), explanation(text[: found.start()] + text[found.end() :]))


def explanation(text: str) -> str:
    """The text of an explanation without the words that announce it."""
    return EXPLANATION.sub("", text.lstrip(_BEFORE), count=1).lstrip(_BEFORE).rstrip()
