"""Metrics of choice questions: the letters that a reply chooses, as each benchmark's code reads them."""

from __future__ import annotations

from typing import Any

import regex

from rewards.parsing import choice_letters, find_choice, folded
from rewards.parsing.text import TIME_LIMIT_S, scan
from rewards.sets import f1
from rl.evaluation.scoring import Scored

_LISTED = regex.compile(r"(?:^|(?<=[,;。、\s]))(?P<letter>[A-H])\s?[:.、]\s?(?=\S)")
_BLANKS = regex.compile(r"[ \t]+|\s*\n\s*(?=\n)")
_JUDGED = regex.compile("正确|错误|当选|答案|故选|应选")
_RUNS = regex.compile("[A-E]{1,5}")
_SEPARATORS = str.maketrans("", "", "、.,;，和")
_LETTERS = r"([ABCD,，、\s]+)"
_AFTER = [
    regex.compile(pattern.replace("@", _LETTERS))
    for pattern in (
        "答案应?该?[为是]@", "答案是@", "选项应?该?[是为]@", "答案@", r"答案应该?选\s?@", "选择@", "故?选[:：]?@",
        "选择答案@", r"^\s*选@[,，项．\.]", "@</s>", "^@。",
    )
]  # fmt: skip
_LABELS = regex.compile(r"([ABCD][\.．])\s?")
_BEFORE = [
    regex.compile(pattern.replace("@", _LETTERS))
    for pattern in (
        "@都?是正确的", "选项@正确", "@选项正确", r"@\s?都?[是为]正确答案", r"@\s?都?[是为]正确选项",
        r"@\s?选?项?都?属于[^错不]",
    )
]  # fmt: skip


def gold(reference: Any) -> frozenset[str]:
    """The right letters, from "ABC", "A、C", "CD（remark）" or ["A", "C"].

    Raises:
        ValueError: if the reference is anything else.
    """
    written = "".join(reference) if isinstance(reference, str | list) else ""
    letters = choice_letters(regex.split("[(（]", written)[0])
    if not letters:
        raise ValueError(f"the reference {reference!r} is not a set of option letters")
    return letters


def chosen(text: str) -> frozenset[str] | None:
    """The letters that a reply chooses. A reply that is only a list of options with their texts (A: …, C: …) chooses
    them, even if it lists all. None when nothing is chosen."""
    plain = _BLANKS.sub(" ", text.replace("</s>", "")).strip()
    labels = [match["letter"] for match in scan(_LISTED, folded(plain))]
    listed = frozenset(labels) if _LISTED.match(folded(plain)) and len(set(labels)) == len(labels) else None
    if listed and len(listed) == len(plain.split("\n")) > 1 and not _JUDGED.search(plain):
        return listed
    return find_choice(plain) or listed


def lexeval_letters(text: str) -> str:
    """LexEval's reading: up to the first 解析 or 分析; runs of A to E without repetition, each letter once."""
    plain = text.split("解析")[0].split("分析")[0].translate(_SEPARATORS)
    runs = [match[0] for match in scan(_RUNS, plain) if len(set(match[0])) == len(match[0])]
    return "".join(dict.fromkeys("".join(runs)))


def lexeval(prediction: str, reference: Any) -> Scored:
    """1 if the letters are the reference as a string; another order is wrong (LexEval)."""
    letters = lexeval_letters(prediction)
    return float(bool(letters) and letters == reference), not letters


def letter_set(prediction: str, reference: Any) -> Scored:
    """1 if exactly the right letters are chosen, in any order and form (JEC-QA's rule). No score without a key."""
    if not reference:
        return None
    given = chosen(prediction)
    return float(given == gold(reference)), given is None


def letter_f1(prediction: str, reference: Any) -> Scored:
    """F1 of the letters chosen and the right ones. No score without an answer key."""
    if not reference:
        return None
    given, wanted = chosen(prediction), gold(reference)
    return (f1(len(given & wanted), len(given), len(wanted)) if given else 0.0), given is None


def disc_letters(text: str) -> frozenset[str]:
    """DISC-Law-Eval's reading: all of a short reply; else after the first cue, else every "A.", else before a cue."""
    if len(text) < 10:
        return frozenset(text) & set("ABCD")
    found = next((match[1] for cue in _AFTER if (match := cue.search(text, timeout=TIME_LIMIT_S))), None)
    if found is None:
        parts = (pattern.findall(text, timeout=TIME_LIMIT_S) for pattern in (_LABELS, *_BEFORE))
        found = next(("".join(part) for part in parts if part), text)
    return frozenset(found) & set("ABCD")


def disc(prediction: str, reference: Any) -> Scored:
    """1 if DISC-Law-Eval's reading finds exactly the right letters."""
    given = disc_letters(prediction)
    return float(given == gold(reference)), not given
