"""The choice questions of an exam paper, from its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rl.synthesis.papers.key import Entry, Run, explanation, split_key
from rl.synthesis.papers.marks import (
    ANSWER,
    BRACKETS,
    CASE,
    EXPLANATION,
    FARTHEST,
    IN_STEM,
    NUMBER,
    SECTION,
    SHARED,
    Start,
    letters,
    options_of,
    starts,
)  # fmt: skip

TRAILING = 60
"""Characters on a line after the last option that may still belong to it."""


@dataclass(frozen=True)
class Choice:
    """A question with its options and the right ones."""

    place: str
    """Its number; with the run before it (2-1) where numbers begin again."""
    stem: str
    options: dict[str, str]
    answer: str
    explanation: str = ""


@dataclass(frozen=True)
class Unread:
    """A question that could not be read."""

    place: str
    reason: str
    """The same words for all such questions."""
    detail: str = ""


@dataclass
class _Block:
    run: int
    number: int
    lines: list[str]
    material: str = ""
    """What it shares with other questions."""
    gap: list[int] = field(default_factory=list)
    """Numbers between the question before and this one."""


class _Problem(Exception):
    """Reason and detail of an Unread."""


def read_paper(text: str) -> list[Choice | Unread]:
    """The questions of a paper in their order, and what could not be read.

    A question begins with a number that follows the one before; its options with A to H. Its answer stands in the
    brackets of the stem, behind the options (答案：A, 【答案】A), or in the key at the end. Where two places differ, or
    none has it, the question is not read.
    """
    lines, key = split_key([line.strip() for line in text.split("\n") if line.strip()])
    blocks = _blocks(lines)
    runs = max((one.run for one in blocks), default=0)
    found: list[Choice | Unread] = []
    entries = _assigned(key, blocks)
    for block in blocks:
        found += [Unread(_place(block.run, n, runs), "question not found", "its number is missing") for n in block.gap]
        entry = entries.pop((block.run, block.number), None)
        place = _place(block.run, block.number, runs)
        try:
            found.append(_choice(place, block, entry))
        except _Problem as problem:
            found.append(Unread(place, *problem.args))
    missing = {one.place for one in found}
    left = [_place(run, number, runs) for run, number in entries]
    found += [
        Unread(place, "question not found", "the key has an answer to it") for place in left if place not in missing
    ]
    return found


def _place(run: int, number: int, runs: int) -> str:
    return f"{run}-{number}" if runs > 1 else str(number)


def _blocks(lines: Sequence[str]) -> list[_Block]:
    """The lines of each question. Numbers rise; they begin again after a heading, or where options follow."""
    found: list[_Block] = []
    between: list[str] | None = []
    """Lines since the last heading, which belong to no question; None without a heading."""
    shared: dict[tuple[int, int], str] = {}
    candidates = {one.line: one for one in starts(lines)}
    for place, line in enumerate(lines):
        start = candidates.get(place)
        if start is not None and _accepted(start, found, between is not None):
            before = found[-1] if found else _Block(1, 0, [])
            again = start.number <= before.number
            run = before.run + again
            first, last, said = _shared(before.lines if between is None else between)
            shared |= {(run, number): said for number in range(first, last + 1)}
            rest = NUMBER.sub("", line, count=1)
            gap = [] if again or not found else list(range(before.number + 1, start.number))
            found.append(_Block(run, start.number, [rest], shared.get((run, start.number), ""), gap))
            between = None
        elif SECTION.match(line):
            between = []
        elif between is not None:
            between.append(line)
        else:
            found[-1].lines.append(line)
    return found


def _accepted(start: Start, found: Sequence[_Block], headed: bool) -> bool:
    if not found:
        return start.options or (headed and start.number == 1)
    before = found[-1].number
    if start.number == before + 1:
        # In an explanation a numbered list may go on with the number of the next question.
        return start.options or headed or not _ends(found[-1])
    if before < start.number <= before + FARTHEST:
        return start.options and len(options_of("\n".join(found[-1].lines))) > 1
    return start.number == 1 and (start.options or headed)


def _ends(block: _Block) -> bool:
    text = "\n".join(block.lines)
    return ANSWER.search(text) is not None or EXPLANATION.search(text) is not None


def _shared(lines: list[str]) -> tuple[int, int, str]:
    """(first question, last one, text) of material that stands at the end of these lines, and is taken from them;
    (0, -1, "") if there is none."""
    place = next((n for n in range(len(lines) - 1, -1, -1) if SHARED.search(lines[n])), None)
    if place is None:
        return 0, -1, ""
    numbers = SHARED.search(lines[place])
    assert numbers is not None
    first, last = int(numbers[1]), int(numbers[2])
    if not first < last <= first + FARTHEST:
        return 0, -1, ""
    options = max((n for n in range(place) if any(True for _ in options_of(lines[n]))), default=-1)
    ends = [n for n in range(place) if ANSWER.search(lines[n]) or EXPLANATION.search(lines[n])]
    headed = [n for n in range(place + 1) if CASE.match(lines[n])]
    begin = headed[-1] if headed else place if ends else options + 1
    said = "\n".join(lines[begin:])
    del lines[begin:]
    return first, last, said


def _assigned(key: Sequence[Run], blocks: Sequence[_Block]) -> dict[tuple[int, int], Entry]:
    """The entries of the key by (run, number). A key with one run fits a paper with several if no number is twice."""
    runs = max((one.run for one in blocks), default=0)
    if len(key) == 1 and runs > 1:
        where = {number: run for run, number in ((one.run, one.number) for one in blocks)}
        twice = Counter(one.number for one in blocks)
        return {(where[n], n): entry for n, entry in key[0].items() if twice[n] == 1}
    return {(place, number): entry for place, run in enumerate(key, 1) for number, entry in run.items()}


def _choice(place: str, block: _Block, entry: Entry | None) -> Choice:
    """A question. Raises _Problem."""
    text = "\n".join(block.lines)
    marks = [found.start() for found in (ANSWER.search(text), EXPLANATION.search(text)) if found]
    question, tail = (text[: min(marks)], text[min(marks) :]) if marks else (text, "")
    options = options_of(question)
    if len(options) < 2:
        raise _Problem("no options", "only choice questions are read")
    stem = question[: min(start for _, start, _ in options)].strip()
    said = _texts(question, options)
    answers = {}
    if found := IN_STEM.search(stem):
        answers["in the stem"] = letters(found[1])
        stem = stem[: found.start()] + "（）" + stem[found.end() :]
    stem = BRACKETS.sub("（ ）", stem)
    if found := ANSWER.search(tail):
        answers["behind the options"] = letters(found[1])
        tail = tail[: found.start()] + tail[found.end() :]
    if entry is not None and not answers and entry.problem:
        raise _Problem("answer unreadable", entry.problem)
    if entry is not None and entry.answer:
        answers["in the key"] = entry.answer
    if len(set(answers.values())) > 1:
        raise _Problem("two answers", ", ".join(f"{answer} {where}" for where, answer in answers.items()))
    if not answers:
        raise _Problem("no answer", "neither with the question nor in a key")
    answer = next(iter(answers.values()))
    if more := set(answer) - said.keys():
        raise _Problem("answer is no option", f"{', '.join(sorted(more))} of {', '.join(said)}")
    if not stem:
        raise _Problem("no stem", "the options begin at once")
    whole = f"{block.material}\n{stem}" if block.material else stem
    return Choice(place, whole, said, answer, explanation(tail) or (entry.explanation if entry else ""))


def _texts(question: str, options: Sequence[tuple[str, int, int]]) -> dict[str, str]:
    """The text of each option. Raises _Problem if one is empty, or the last goes on too long."""
    begins = sorted(start for _, start, _ in options)
    found = {}
    for letter, start, first in options:
        end = next((one for one in begins if one > start), len(question))
        parts = [line.strip() for line in question[first:end].split("\n") if line.strip()]
        if not parts:
            raise _Problem("option empty", letter)
        if end == len(question) and sum(map(len, parts[1:])) > TRAILING:
            raise _Problem("text behind the options", f"{sum(map(len, parts[1:]))} characters: {parts[1][:30]}")
        found[letter] = "".join(parts)
    return found
