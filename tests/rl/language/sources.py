"""Every text that a page may say: where the code and the templates say it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from jinja2 import Environment, nodes

from curricula.cleaning import Reason
from curricula.pas import BUCKETS, PHASES
from rewards.registry import REWARDS
from rl.config.metrics import METRICS
from rl.report.curves import meaning as meaning_of_metric
from rl.report.facts import LEVELS
from rl.report.sampled import meaning as meaning_of_reward
from rl.synthesis.card import SHARES
from rl.synthesis.card_words import HEADS, REASONS, VALUES
from tests.conftest import ROOT

ROOMS = ("evaluation", "report", "synthesis")
TEMPLATES = sorted(file for room in ROOMS for file in (ROOT / "rl" / room).rglob("templates/*.j2"))
GIVES = {"Dropped": 0, "Failed": 0, "_Problem": 0, "Unread": 1}
"""What takes the reason of a record that is not kept, and as which argument."""
WORDS = ("t", "Text")
"""What says a text: a function of a page, and the text itself."""


def in_code() -> Iterator[tuple[str, str]]:
    """(place, English text) of every text in the code."""
    for file in sorted((ROOT / "rl").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORDS:
                place = f"{file.relative_to(ROOT)}:{node.lineno}"
                if isinstance(node.args[0], ast.Constant):
                    yield place, node.args[0].value


def in_templates() -> Iterator[tuple[str, str]]:
    """(place, English text) of every text in the templates."""
    for file in TEMPLATES:
        for call in _parsed(file).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t":
                said = call.args[0]
                for one in (said.left, said.right) if isinstance(said, nodes.Or) else (said,):
                    if isinstance(one, nodes.Const):
                        yield f"{file.relative_to(ROOT)}:{call.lineno}", one.value


def bare(file: Path) -> str:
    """What a template prints by itself, without any value."""
    return " ".join(data.data for data in _parsed(file).find_all(nodes.TemplateData))


def in_catalogues() -> Iterator[tuple[str, str]]:
    """(place, English text) of what the catalogues of metrics and rewards say."""
    for metric in METRICS:
        words = () if metric.name.startswith("time/") else (metric.label, metric.unit)  # phases go by their names
        for text in (*words, meaning_of_metric(metric)):
            if text and not text.startswith("{"):
                yield f"metric {metric.name}", text
    yield from ((f"reward {name}", meaning_of_reward(name)) for name in REWARDS)
    yield from (("rl/report/facts.py", level) for level in LEVELS)
    yield from (("curricula/pas.py", name) for name in (*PHASES, *BUCKETS, "dropped"))
    words = (*HEADS, *SHARES, ": ", *REASONS, *(f"{kind} {one}" for kind, many in VALUES.items() for one in many))
    yield from (("rl/synthesis/card_words.py", word) for word in words)
    yield from (("curricula/cleaning.py", reason.replace("_", " ")) for reason in get_args(Reason))


def reasons() -> Iterator[str]:
    """Every reason that the steps of a synthesis give as it stands in the code."""
    for file in sorted((ROOT / "rl" / "synthesis").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GIVES:
                first = node.args[GIVES[node.func.id]]
                yield from (
                    one.value for one in ast.walk(first) if isinstance(one, ast.Constant) and " " in str(one.value)
                )


def _parsed(file: Path) -> nodes.Template:
    return Environment(trim_blocks=True, lstrip_blocks=True).parse(file.read_text(encoding="utf-8"))
