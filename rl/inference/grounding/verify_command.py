"""``python -m rl.inference verify FILE.jsonl``: citations of answers checked against the law of a day.

A line is {"answer": …}, with "articles" (as ``retrieve --prompts`` writes them) where the prompt had some.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curricula.command import command, program
from curricula.errors import DataError
from curricula.statutes import law_read
from curricula.statutes.options import add_law, use_options
from rewards.parsing import article_refs
from rewards.statute_check import article_of
from rl.errors import UserError
from rl.inference.grounding.grounded_answer import verify
from rl.inference.grounding.questions import read_records
from rl.retrieval.passages import Passage


@command(UserError, DataError)
def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 with a sentence when the file can't be read."""
    parser = argparse.ArgumentParser(prog=program("rl.inference verify"), description="Citations of answers, checked.")
    parser.add_argument("answers", type=Path, help='JSONL file of lines {"answer": …, "articles": […]}')
    add_law(parser)
    chosen = parser.parse_args(argv)
    use_options(chosen)
    records = read_records(chosen.answers, ("answer",))
    for record in records:
        found = [asdict(c) | {"holds": c.holds} for c in verify(record["answer"], _given(record))]
        print(json.dumps(record | law_read() | {"citations": found}, ensure_ascii=False))
    return 0


def _given(record: dict[str, Any]) -> list[Passage]:
    places = record.get("articles", [])
    if not isinstance(places, list):
        raise UserError(f'articles is {places!r}; it should be a list such as ["《刑法》第二百六十四条"]')
    named = (article_of(ref) for place in places for ref in article_refs(str(place)))
    return [Passage(article.short, article.number, article.text) for article in named if article is not None]
