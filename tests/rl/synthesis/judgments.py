"""Thirty invented judgments with their truth: every person, company, number and place in them is made up.

``judgments/NAME.txt`` is the text, ``NAME.yaml`` what is true of it. An article is written 刑法 第67条 3 for the third
paragraph, with an item behind it, or after a dash where there is no paragraph.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rl.inference.structuring.judgment_text import read_text

FOLDER = Path(__file__).parent / "judgments"


@dataclass(frozen=True)
class Judgment:
    """One of them."""

    name: str
    text: str
    truth: dict[str, Any]

    @property
    def personal(self) -> dict[str, list[str]]:
        """Kind of personal data to the strings of the text."""
        return self.truth["personal"]


def judgments() -> list[Judgment]:
    """All thirty, by name."""
    paths = sorted(FOLDER.glob("*.txt"))
    return [Judgment(p.stem, read_text(p), yaml.safe_load(p.with_suffix(".yaml").read_text("utf-8"))) for p in paths]
