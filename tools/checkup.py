"""What a doctor finds, line by line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {"ok": "green", "warning": "yellow", "error": "bold red"}


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    status: Literal["ok", "warning", "error"]
    detail: str
    fix: str = ""


def show(found: Sequence[Check], as_json: bool) -> int:
    """Print the report; returns 1 if any line is an error."""
    if as_json:
        print(json.dumps([asdict(check) for check in found], ensure_ascii=False, indent=1))
    else:
        table = Table(box=box.SIMPLE_HEAD)
        for column in ("", "what", "found", "fix"):
            table.add_column(column)
        for check in found:
            table.add_row(Text(check.status, COLOURS[check.status]), *map(Text, (check.name, check.detail, check.fix)))
        Console().print(table)
    return int(any(check.status == "error" for check in found))
