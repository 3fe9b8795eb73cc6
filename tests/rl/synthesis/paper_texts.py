"""An exam paper of twenty questions of our own writing, in the layouts of answer keys that papers have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

LAYOUTS = ("compact", "table", "explained", "behind", "brackets")
"""Ranges and lists at the end; rows at the end; an entry with an explanation for each question at the end; answer and
explanation behind each question; the answer in the brackets of the stem."""
_PAPER = yaml.safe_load(Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Asked:
    """A question as it was written."""

    stem: str
    options: list[str]
    answer: str
    explanation: str


SECTIONS = {
    "一、单项选择题（每题1分，只有一个正确选项）": [Asked(**one) for one in _PAPER["single"]],
    "二、多项选择题（每题2分，至少有两个正确选项）": [Asked(**one) for one in _PAPER["multiple"]],
    "三、不定项选择题": [Asked(**one) for one in _PAPER["shared"]],
}
MATERIAL = _PAPER["material"]
"""What the questions of the last section share."""
QUESTIONS = [one for some in SECTIONS.values() for one in some]


def paper(layout: str) -> str:
    """The text of the paper with one of the LAYOUTS."""
    lines = [_PAPER["title"]]
    for heading, some in SECTIONS.items():
        lines += [heading, *([f"　　{MATERIAL}"] if some is SECTIONS["三、不定项选择题"] else [])]
        for one in some:
            lines += _lines(QUESTIONS.index(one) + 1, one, layout)
    return "\n".join([*lines, *_key(layout)]) + "\n"


def _lines(number: int, one: Asked, layout: str) -> list[str]:
    stem = f"{one.stem}（{one.answer if layout == 'brackets' else '　　'}）"
    written = [f"{letter}．{text}" for letter, text in zip("ABCD", one.options, strict=True)]
    longest = max(map(len, one.options))
    in_a_row = 4 if longest <= 5 else 2 if longest <= 14 else 1
    rows = ["　　".join(written[first : first + in_a_row]) for first in range(0, 4, in_a_row)]
    more = [f"【答案】{one.answer}", f"【解析】{one.explanation}"] if layout == "behind" else []
    return [f"{number}．{stem}", *rows, *more]


def _key(layout: str) -> list[str]:
    answers = [one.answer for one in QUESTIONS]
    if layout == "compact":
        one = "".join(answers[:12])
        rest = "　".join(f"{n}.{answer}" for n, answer in enumerate(answers[12:], 13))
        ranges = f"1—5 {one[:5]}　6—10 {one[5:10]}　11—12：{one[10:]}"
        return ["参考答案", "一、单项选择题", ranges, "二、多项选择题", rest]
    if layout == "table":
        found = ["参考答案"]
        for first in (0, 10):
            numbers = " ".join(str(n + 1) for n in range(first, first + 10))
            found += [f"题号 {numbers}", f"答案 {' '.join(answers[first : first + 10])}"]
        return found
    if layout == "explained":
        rows = enumerate(QUESTIONS, 1)
        return ["参考答案及解析", *(f"{n}．{one.answer}。解析：{one.explanation}" for n, one in rows)]
    return []
