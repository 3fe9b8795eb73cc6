"""``python -m tools.structuring_check FILE``: structured criminal judgments against another reading of the same texts.

FILE is JuDGE's ``data/test.json`` (a user's copy): whole judgments (``fd``) with the articles that they apply (``la``).
Charges, terms and fines are compared with JuDGE's own rules (``rl.evaluation.metrics.judgment_decisions``), which add
up every defendant's term and fine. Where both differ, the document is listed, so that a person can read it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rl.evaluation.metrics.judgment_decisions import DEATH, LIFE, decided_fixed
from rl.inference.structuring.document import structure

ALWAYS = ("court", "case_number", "charge", "sentence", "judge", "judgment_date")
"""Elements that every judgment has."""


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The judgments of a file in JuDGE's format."""
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def values(document: dict[str, Any], name: str) -> list[Any]:
    """Values of an element."""
    return [element["value"] for element in document["elements"].get(name, [])]


def differences(record: dict[str, Any]) -> dict[str, str]:
    """What a structured judgment lacks, and what differs from the other reading: name and the values found."""
    document, other = structure(record["fd"]), decided_fixed(record["fd"])
    found = {name: "missing" for name in ALWAYS if not values(document, name)}
    sentences = values(document, "sentence")
    if sentences:
        months = sum(_months(one) for one in sentences)
        if months != max(other.months, 0):
            found["term"] = f"{months} months, JuDGE's rules {other.months}"
        fine = sum(one["fine_yuan"] or 0 for one in sentences)
        if fine != max(other.yuan, 0):
            found["fine"] = f"{fine} yuan, JuDGE's rules {other.yuan}"
    accused = {v["name"] for v in values(document, "party") if v["role"].endswith(("被告人", "被告单位", "上诉人"))}
    if accused != {one["defendant"] for one in sentences}:
        found["defendants"] = f"sentenced {sorted(one['defendant'] for one in sentences)}, accused {sorted(accused)}"
    cited = {v["article"] for v in values(document, "article") if v["law"] == "刑法"}
    labels = {f"第{number}条" for number in record.get("la", [])}
    if labels != {article.split("之")[0] for article in cited}:
        found["article"] = f"{sorted(cited)}, labels {sorted(labels)}"
    return found


def _months(sentence: dict[str, Any]) -> float:
    return float(sentence["months"] or {"life": LIFE, "death": DEATH}.get(sentence["kind"], 0))


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tools.structuring_check", description=__doc__)
    parser.add_argument("file", type=Path, help="JuDGE's data/test.json")
    parser.add_argument("--list", metavar="NAME", help="show the documents that differ in this")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    total = 0
    for number, record in enumerate(records(options.file)):
        total += 1
        for name, what in differences(record).items():
            counts[name] += 1
            if name == options.list:
                print(f"{number}: {what}")
    print(f"{total} judgments; that differ: " + ", ".join(f"{name} {n}" for name, n in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
