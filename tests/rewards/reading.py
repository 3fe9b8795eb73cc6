"""``python -m tests.rewards.reading``: how many of the snippets in ``reading.jsonl`` each parser reads right.

A snippet is a wording as judgments, examination answers or language models write it, with what a person reads in it.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from rewards.parsing import (
    amounts,
    article_refs,
    charges,
    dates,
    deadline,
    final_answer,
    find_choice,
    limitation_period,
    quantity,
)
from rewards.rules.amounts import single_amount, single_fine
from rewards.rules.term import read_term

SNIPPETS = [json.loads(line) for line in Path(__file__).with_name("reading.jsonl").read_text("utf-8").splitlines()]
_KINDS = {"fixed": "", "detention": "拘役 ", "surveillance": "管制 ", "life": "无期", "death": "死刑", "exempt": "免予"}


def _choice(text: str) -> str:
    return "".join(sorted(find_choice(text) or ""))


def _articles(text: str) -> list[str]:
    return [
        str(ref) + (f"第{ref.paragraph}款" if ref.paragraph else "") + (f"第{ref.item}项" if ref.item else "")
        for ref in article_refs(text)
    ]


def _term(text: str) -> str | None:
    found = read_term(text)
    if found is None:
        return None
    if found.kind == "death" and found.suspended:
        return "死缓"
    length = "" if found.months is None else f"{float(found.months):g}"
    return _KINDS[found.kind] + length + (f" 缓 {float(found.suspended):g}" if found.suspended else "")


def _quantity(found: tuple[Fraction, str] | None) -> str | None:
    if found is None:
        return None
    value = f"{float(found[0]):.12g}"
    return (value if "." not in value or len(value) < 8 else str(found[0])) + found[1]


def _deadline(text: str) -> str | None:
    length = limitation_period(text)
    return str(deadline(dates(text)[0], length)) if length else None


READERS: dict[str, Callable[[str], Any]] = {
    "answer": final_answer,
    "choice": _choice,
    "article": _articles,
    "charge": lambda text: sorted(charges(text)),
    "term": _term,
    "fine": lambda text: None if (found := single_fine(text)) is None else float(found),
    "amount": lambda text: None if (found := single_amount(text)[0]) is None else float(found),
    "amounts": lambda text: [float(amount.yuan) for amount in amounts(text)],
    "date": lambda text: [str(day) for day in dates(text)],
    "limitation": lambda text: _quantity(limitation_period(text)),
    "deadline": _deadline,
    "number": lambda text: _quantity(quantity(text)),
}


def read(kind: str, text: str) -> Any:
    """What a parser reads in a snippet's answer, in the form of the file's right values."""
    return READERS[kind](text if kind == "answer" else final_answer(text) or "")


def expected(kind: str, right: Any) -> Any:
    """A right value as :func:`read` gives it: charges have no order."""
    return sorted(right) if kind == "charge" else right


def main() -> None:
    """Print a table by kind, and with ``-v`` what is read otherwise."""
    import sys

    for kind in READERS:
        ours = [row for row in SNIPPETS if row["kind"] == kind]
        wrong = []
        for row in ours:
            try:
                given = read(kind, row["text"])
            except Exception as error:
                given = f"{type(error).__name__}: {error}"
            if given != expected(kind, row["right"]):
                wrong.append((row["text"], row["right"], given))
        print(f"| {kind} | {len(ours)} | {len(ours) - len(wrong)} |")
        for text, right, given in wrong if "-v" in sys.argv else ():
            print(f"    {text!r}: right {right!r}, read {given!r}")


if __name__ == "__main__":
    main()
